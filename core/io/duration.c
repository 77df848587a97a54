/* Seconds for people. */
#include "io/inside.h"
#include <stdio.h>

const char *ssa_duration_print(char text[SSA_DURATION_SIZE], double seconds) {
    static const struct { const char *name; double seconds; } unit[] = {{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};
    if (!(seconds >= 0 && seconds < 1e12)) {
        snprintf(text, SSA_DURATION_SIZE, "unknown time");
        return text;
    }
    int i = 0;
    while (i < 3 && seconds + 0.5 < unit[i].seconds) i++; /* 59.7 s are a minute */
    if (i == 3) snprintf(text, SSA_DURATION_SIZE, "%.0f s", seconds);
    else { /* two units; the rest is below what anybody waits for */
        double    small = unit[i + 1].seconds;
        long long count = (long long)(seconds / small + 0.5), ratio = (long long)(unit[i].seconds / small);
        if (count % ratio) snprintf(text, SSA_DURATION_SIZE, "%lld %s %lld %s", count / ratio, unit[i].name, count % ratio, unit[i + 1].name);
        else snprintf(text, SSA_DURATION_SIZE, "%lld %s", count / ratio, unit[i].name);
    }
    return text;
}
