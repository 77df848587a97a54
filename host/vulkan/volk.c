/* volk's own code, compiled once: it finds libvulkan.so.1 at run time. */
#define VOLK_IMPLEMENTATION
#include <volk.h>
