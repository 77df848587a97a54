#include "ssa/status.h"
#include <stdarg.h>
#include <stdio.h>

void ssa_error_record(ssa_error *err, ssa_status status, const char *format, ...) {
    if (err && err->status == SSA_OK) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
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
