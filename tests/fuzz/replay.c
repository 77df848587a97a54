/* Every input of a corpus through its fuzz target, once: what ctest runs without libFuzzer.
 *   replay_NAME FOLDER... */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *folder) {
    int  count = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        char        path[4096];
        struct stat st;
        int         n = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (n >= (int)sizeof path || stat(path, &st) || !S_ISREG(st.st_mode)) continue;
        FILE    *f = fopen(path, "rb");
        uint8_t *data = malloc((size_t)st.st_size + 1);
        if (!f || !data || fread(data, 1, (size_t)st.st_size, f) != (size_t)st.st_size) {
            fprintf(stderr, "%s cannot be read\n", path);
            exit(1);
        }
        fclose(f);
        printf("%s\n", e->d_name);
        fflush(stdout); /* the last one printed is the one that broke */
        LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
        free(data);
        count++;
    }
    if (d) closedir(d);
    return count;
}

int main(int argc, char **argv) {
    int count = 0;
    for (int i = 1; i < argc; i++) count += replay(argv[i]);
    printf("%d inputs\n", count);
    return count ? 0 : 1;
}
