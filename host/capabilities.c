#include "capabilities.h"
#include <stdio.h>

static const char *const words[] = {
#define CAPABILITY(ID, word) word,
    DEV_CAPABILITIES(CAPABILITY)
#undef CAPABILITY
};

bool capabilities_have(const dev_capabilities *c, uint32_t features, const dev_matrix *matrix) {
    if ((c->features & features) != features) return false;
    if (!matrix->M) return true;
    for (int i = 0; i < c->matrices; i++) {
        const dev_matrix *m = &c->matrix[i];
        if (m->M == matrix->M && m->N == matrix->N && m->K == matrix->K && m->a == matrix->a && m->c == matrix->c && m->scope == matrix->scope)
            return true;
    }
    return false;
}

bool capabilities_word(const dev_capabilities *c, int i, char *word, int size) {
    static const char *const types[] = {[DEV_TYPE_F32] = "f32", [DEV_TYPE_F16] = "f16", [DEV_TYPE_BF16] = "bf16"};
    for (int bit = 0; bit < DEV_CAPABILITY_COUNT; bit++) {
        if (!(c->features & 1u << bit) || i-- > 0) continue;
        snprintf(word, (size_t)size, "%s", words[bit]);
        return true;
    }
    if (i >= c->matrices) return false;
    const dev_matrix *m = &c->matrix[i];
    snprintf(word, (size_t)size, "coopmat:%ux%ux%u:%s:%s%s", m->M, m->N, m->K, types[m->a], types[m->c],
             m->scope == DEV_SCOPE_WORKGROUP ? ":workgroup" : "");
    return true;
}
