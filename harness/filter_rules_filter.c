#include "filter_judge_priv.h"
const struct rule rules_filter[] = { { { NULL, NULL, NULL }, 0, NULL } };
