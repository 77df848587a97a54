/* Status codes and error sentences.
 *
 * Every call that can fail returns an ssa_status and leaves one sentence that names the thing and the value
 * ("top_k 0 is out of range 1..1024") in an ssa_error. The first failure wins: later ones do not overwrite it. */
#ifndef SSA_STATUS_H
#define SSA_STATUS_H

typedef enum {
    SSA_OK = 0,
    SSA_ERR_INPUT,       /* what the caller gave is wrong: exit status 2 */
    SSA_ERR_RUNTIME,     /* something failed while running (disk, driver): exit status 1 */
    SSA_ERR_MEMORY,      /* host or device memory ran out */
    SSA_ERR_UNSUPPORTED, /* this device or backend cannot do it */
    SSA_ERR_DEVICE_LOST  /* the device is gone; sticky: every later call returns it too */
} ssa_status;

typedef struct ssa_error {
    ssa_status status;
    char       text[512]; /* one sentence, no newline; empty while status is SSA_OK */
} ssa_error;

/* Records a failure (printf-style) unless one is recorded already. err may be NULL. */
void ssa_error_record(ssa_error *err, ssa_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same, and evaluates to the status given (a macro, so that the compiler sees which one it is). */
static inline ssa_status ssa_failed(ssa_status status) { return status; }
#define ssa_fail(err, status, ...) (ssa_error_record((err), (status), __VA_ARGS__), ssa_failed(status))

/* Forgets a recorded failure. */
void ssa_error_clear(ssa_error *err);

/* Process exit status that goes with a status: 0, 2 for bad input, 1 for everything else. */
int ssa_exit_status(ssa_status status);

#define SSA_TRY(call)                                \
    do {                                             \
        ssa_status ssa_try_status = (call);          \
        if (ssa_try_status) return ssa_try_status;   \
    } while (0)

#endif
