/* A driver that never comes back to its loader. */
#include <unistd.h>

__attribute__((constructor)) static void start(void) {
    for (;;) pause();
}
