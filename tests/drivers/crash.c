/* A driver that crashes as soon as its loader has found it. */
#include <stdlib.h>

__attribute__((constructor)) static void start(void) { abort(); }
