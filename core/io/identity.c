/* Which data it is: hashes of content, and whether two sets of files share any. */
#include "io/tokens.h"
#include <string.h>

static void hex(XXH128_hash_t hash, char out[33]) {
    XXH128_canonical_t bytes;
    XXH128_canonicalFromHash(&bytes, hash);
    for (int i = 0; i < 16; i++) snprintf(out + 2 * i, 3, "%02x", bytes.digest[i]);
}

void io_piece_hash(const io_piece *p, char out[33]) { hex(p->hash, out); }

void ssa_tokens_identify(const ssa_tokens *t, ssa_tokens_id *out) {
    *out = (ssa_tokens_id){.tokens = t->count, .vocabulary = t->vocabulary, .bytes = t->kind->width == 1, .files = t->n};
    hex(t->pieces[0].hash, out->hash);
    if (t->n == 1) return;
    XXH128_hash_t all = {0};
    for (int i = 0; i < t->n; i++) {
        XXH128_canonical_t chain[2];
        XXH128_canonicalFromHash(&chain[0], all);
        XXH128_canonicalFromHash(&chain[1], t->pieces[i].hash);
        all = XXH3_128bits(chain, sizeof chain);
    }
    hex(all, out->hash);
}

/* One file under two names (the same, a link) or two files with one content. */
static const char *shared(const io_piece *a, const io_piece *b) {
    if (a->info.st_dev == b->info.st_dev && a->info.st_ino == b->info.st_ino) return "the same file as";
    return a->bytes == b->bytes && XXH128_isEqual(a->hash, b->hash) ? "a copy of" : NULL;
}

ssa_status ssa_tokens_apart(const ssa_tokens *train, const ssa_tokens *val, ssa_error *err) {
    for (int i = 0; i < val->n; i++)
        for (int j = 0; j < train->n; j++) {
            const io_piece *v = &val->pieces[i], *t = &train->pieces[j];
            const char     *how = shared(v, t);
            if (how) return ssa_fail(err, SSA_ERR_INPUT, "validation file %s is %s training file %s", io_show(v->path).text, how, io_show(t->path).text);
        }
    return SSA_OK;
}

ssa_status ssa_tokens_distinct(const ssa_tokens *t, ssa_error *err) {
    for (int i = 0; i < t->n; i++)
        for (int j = 0; j < i; j++) {
            const char *how = shared(&t->pieces[i], &t->pieces[j]);
            if (how)
                return ssa_fail(err, SSA_ERR_INPUT, "%s is %s %s: rows of it would be both training and validation (--val-data names other validation data)",
                                io_show(t->pieces[i].path).text, how, io_show(t->pieces[j].path).text);
        }
    return SSA_OK;
}
