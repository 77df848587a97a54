/* Linked into what is built with sanitizers: libraries stay loaded, so that what drivers leak has their name in it, which
 * tests/sanitizers.supp can suppress. */
#include <dlfcn.h>

int dlclose(void *library) {
    (void)library;
    return 0;
}
