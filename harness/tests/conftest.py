"""What all tests need of the process that runs them."""

import signal

# A shell's job in the background ignores it, and so would what tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
