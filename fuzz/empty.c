/*
 * Does nothing: how fast the engine alone is, against which the other targets'
 * speed is measured ("make fuzz-bench").
 */
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	(void)data;
	(void)size;
	return (0);
}
