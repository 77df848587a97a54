/* Numbers as text: the one reader and the one printer of options, flags and JSON. The decimal sign is a point whatever locale the
 * program has chosen, for all threads or for this one. */
#include "io/inside.h"
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

locale_t io_locale_plain(void) {
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* not an allocation: the C library has this one ready */
    return plain ? uselocale(plain) : (locale_t)0;
}

void io_locale_back(locale_t before) {
    if (before) uselocale(before);
}

bool ssa_number_read(const char *text, double *out) {
    char    *end;
    /* strtod alone would take " 1", "0x10", "inf" and "nan" too. */
    if (!*text || text[strspn(text, "0123456789+-.eE")]) return false;
    locale_t before = io_locale_plain();
    errno = 0;
    double   x = strtod(text, &end);
    bool     whole = !*end && end != text && isfinite(x) && !(errno == ERANGE && fabs(x) > 1); /* too small is 0, or nearly */
    io_locale_back(before);
    if (whole) *out = x;
    return whole;
}

const char *ssa_number_print(char text[SSA_NUMBER_SIZE], double x, bool is_float) {
    locale_t before = io_locale_plain();
    for (int digits = is_float ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, SSA_NUMBER_SIZE, "%.*g", digits, x);
        double back = strtod(text, NULL);
        if (is_float ? (float)back == (float)x : back == x) break;
    }
    io_locale_back(before);
    return text;
}
