#ifndef SMTPDTEST_STEPS_H
#define SMTPDTEST_STEPS_H

#include "run.h"

/* One entry each of step_kinds[]. */
extern const struct step_kind step_reach, step_await, step_fin, step_rst,
    step_half_close, step_tls, step_pause, step_segments, step_auth,
    step_message, step_receive, step_sink, step_repeat, step_choose, step_batch, step_set,
    step_run_cmd, step_output, step_connection, step_answer, step_when,
    step_hold, step_release, step_exit, step_kill, step_close, step_deaf,
    step_crash, step_restart;

#endif
