#include "ssa/status.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ssa_error_record(ssa_error *err, ssa_status status, const char *format, ...) {
    if (err && err->status == SSA_OK) {
        va_list args;
        va_start(args, format);
        int n = vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        if (n >= (int)sizeof err->text) { /* cut short, and it shows */
            char *end = err->text + sizeof err->text - 4;
            while (end > err->text && (*end & 0xc0) == 0x80) end--; /* not inside a UTF-8 character */
            strcpy(end, "...");
        }
        err->status = status;
    }
}

void ssa_error_clear(ssa_error *err) {
    err->status = SSA_OK;
    err->text[0] = 0;
}

int ssa_exit_status(ssa_status status) {
    return status == SSA_OK ? 0 : status == SSA_ERR_INPUT ? 2 : 1;
}
