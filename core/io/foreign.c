/* What a file is that is no text, by how it begins. A name says nothing: formats are recognised by their magic numbers, and what has none
 * by its NUL bytes. */
#include "io/tokens.h"
#include <ctype.h>
#include <string.h>

/* Long enough not to be how a text begins: a text about GGUF or Parquet may begin with their names. */
typedef struct magic {
    size_t      at;
    const char *bytes;
    size_t      n;
    const char *what;
} magic;
#define MAGIC(at, bytes, what) {at, bytes, sizeof(bytes) - 1, what}

static const magic magics[] = {
    /* arrays, models, tables */
    MAGIC(0, "\x93NUMPY", "a numpy array"),
    MAGIC(0, "GGUF\x01\0\0\0", "a GGUF model"), MAGIC(0, "GGUF\x02\0\0\0", "a GGUF model"), MAGIC(0, "GGUF\x03\0\0\0", "a GGUF model"),
    MAGIC(0, "lmgg", "a GGML model"), MAGIC(0, "tjgg", "a GGML model"), MAGIC(0, "algg", "a GGML model"), MAGIC(0, "fmgg", "a GGML model"),
    MAGIC(0, "\x89HDF\r\n\x1a\n", "an HDF5 file"),
    MAGIC(0, "PAR1\x15", "a Parquet table"), MAGIC(0, "ARROW1\0\0", "an Arrow table"), MAGIC(0, "FEA1\0\0", "a Feather table"),
    MAGIC(0, "Obj\x01", "an Avro file"),
    MAGIC(0, "SQLite format 3\0", "an SQLite database"),
    MAGIC(0, "MMIDIDX\0", "an index of Megatron's token files"),
    MAGIC(0, "MATLAB 5.0 MAT-file", "a MATLAB file"),
    MAGIC(0, "CDF\x01", "a netCDF file"), MAGIC(0, "CDF\x02", "a netCDF file"), MAGIC(0, "CDF\x05", "a netCDF file"),
    MAGIC(0, "\xc6\xd7\x34\x01", "a model of llm.c"), /* 20240326 */
    /* compressed and packed */
    MAGIC(0, "\x1f\x8b", "a gzip archive"),
    MAGIC(0, "\x1f\x9d", "a file packed by compress"), MAGIC(0, "\x1f\xa0", "a file packed by compress"),
    MAGIC(0, "\x28\xb5\x2f\xfd", "a zstd archive"),
    MAGIC(0, "\xfd" "7zXZ\0", "an xz archive"), MAGIC(0, "\x5d\0\0", "an lzma archive"), MAGIC(0, "LZIP\x01", "an lzip archive"),
    MAGIC(0, "\x04\x22\x4d\x18", "an lz4 archive"), MAGIC(0, "\x02\x21\x4c\x18", "an lz4 archive"), MAGIC(0, "\x89LZO\0\r\n\x1a\n", "an lzop archive"),
    MAGIC(0, "\xff\x06\0\0sNaPpY", "a snappy archive"),
    MAGIC(0, "PK\x03\x04", "a zip archive (as .npz, .pt and .docx files are)"), MAGIC(0, "PK\x05\x06", "an empty zip archive"), MAGIC(0, "PK\x07\x08", "a zip archive"),
    MAGIC(0, "7z\xbc\xaf\x27\x1c", "a 7z archive"), MAGIC(0, "Rar!\x1a\x07", "a RAR archive"),
    MAGIC(257, "ustar\0", "a tar archive"), MAGIC(257, "ustar  \0", "a tar archive"),
    MAGIC(0, "!<arch>\n", "an ar archive"), MAGIC(0, "\xc7\x71", "a cpio archive"),
    /* documents, pictures, sound */
    MAGIC(0, "%PDF-", "a PDF document"),
    MAGIC(0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
    MAGIC(0, "\x89PNG\r\n\x1a\n", "a PNG picture"), MAGIC(0, "\xff\xd8\xff", "a JPEG picture"), MAGIC(0, "GIF87a", "a GIF picture"), MAGIC(0, "GIF89a", "a GIF picture"),
    MAGIC(0, "II*\0", "a TIFF picture"), MAGIC(0, "MM\0*", "a TIFF picture"), MAGIC(8, "WEBPVP8", "a WebP picture"),
    MAGIC(8, "WAVEfmt ", "a WAV recording"), MAGIC(8, "AVI LIST", "an AVI film"),
    MAGIC(0, "OggS\0", "an Ogg recording"), MAGIC(0, "fLaC\0", "a FLAC recording"), MAGIC(0, "ID3\x02", "an MP3 recording"), MAGIC(0, "ID3\x03", "an MP3 recording"),
    MAGIC(0, "ID3\x04", "an MP3 recording"), MAGIC(4, "ftyp", "an MP4 or HEIF file"), MAGIC(0, "\x1a\x45\xdf\xa3", "a Matroska or WebM film"),
    /* programs */
    MAGIC(0, "\x7f" "ELF", "an ELF program or library"),
    MAGIC(0, "\xcf\xfa\xed\xfe", "a Mach-O program"), MAGIC(0, "\xce\xfa\xed\xfe", "a Mach-O program"), MAGIC(0, "\xca\xfe\xba\xbe", "a Java class or Mach-O program"),
    MAGIC(0, "\0asm", "a WebAssembly program"), MAGIC(0, "MZ\x90\0", "a Windows program"),
    /* text that is not bytes of text, and what stands for a file that is elsewhere */
    MAGIC(0, "\xff\xfe\0\0", "text in UTF-32"), MAGIC(0, "\0\0\xfe\xff", "text in UTF-32"), MAGIC(0, "\xff\xfe", "text in UTF-16"), MAGIC(0, "\xfe\xff", "text in UTF-16"),
    MAGIC(0, "version https://git-lfs.github.com/spec/", "a pointer of Git LFS, not the file it stands for"),
};

static bool is_safetensors(const unsigned char *head, size_t bytes) {
    uint64_t header;
    if (bytes < 10 || head[8] != '{') return false;
    memcpy(&header, head, sizeof header);
    return header >= 2 && header < (uint64_t)1 << 40;
}

/* Protocols 2 to 5 begin with their number; text may begin with byte 128 too, but not with what follows then. */
static bool is_pickle(const unsigned char *head, size_t bytes) { return bytes > 2 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5; }

/* An Arrow stream: no magic, but a marker and the length of its first message. */
static bool is_arrow_stream(const unsigned char *head, size_t bytes) { return bytes > 8 && !memcmp(head, "\xff\xff\xff\xff", 4) && head[6] < 16 && !head[7]; }

/* cpio's header of today: a magic and 13 numbers, all hexadecimal digits without a space. */
static bool is_cpio(const unsigned char *head, size_t bytes) {
    if (bytes < 110 || (memcmp(head, "070701", 6) && memcmp(head, "070702", 6))) return false;
    for (int i = 6; i < 110; i++)
        if (!isxdigit(head[i])) return false;
    return true;
}

const char *io_foreign(const unsigned char *head, size_t bytes) {
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++) {
        const magic *m = &magics[i];
        if (bytes >= m->at + m->n && !memcmp(head + m->at, m->bytes, m->n)) return m->what;
    }
    if (bytes > 9 && !memcmp(head, "BZh", 3) && !memcmp(head + 4, "1AY&SY", 6)) return "a bzip2 archive";
    if (bytes > 4 && (head[0] & 0xf0) == 0x50 && !memcmp(head + 1, "\x2a\x4d\x18", 3)) return "a zstd or lz4 archive"; /* a skippable frame */
    if (is_cpio(head, bytes)) return "a cpio archive";
    if (is_safetensors(head, bytes)) return "a safetensors file";
    if (is_pickle(head, bytes)) return "a Python pickle (as older .pt files are)";
    if (is_arrow_stream(head, bytes)) return "an Arrow stream";
    return NULL;
}

/* Small numbers leave the upper bytes of a word 0. */
const char *io_foreign_binary(const unsigned char *head, size_t bytes) {
    size_t zeros[8] = {0}, words = bytes / 8, printable = 0;
    if (!words) return NULL;
    for (size_t i = 0; i < words * 8; i++) {
        zeros[i % 8] += !head[i];
        if (i % 2 == 0) printable += head[i] >= 32 || head[i] == '\n' || head[i] == '\r' || head[i] == '\t';
    }
    size_t most = words * 9 / 10;
    if (zeros[4] > most && zeros[5] > most && zeros[6] > most && zeros[7] > most) return "raw 64-bit ids";
    if (zeros[3] > most && zeros[7] > most && zeros[1] <= most) return "raw 32-bit ids";
    if (zeros[2] > most && zeros[3] > most && zeros[6] > most && zeros[7] > most) return "raw 32-bit ids or text in UTF-32";
    size_t odd = zeros[1] + zeros[3] + zeros[5] + zeros[7], even = zeros[0] + zeros[2] + zeros[4] + zeros[6];
    if (odd > 4 * most && printable > 4 * most) return "text in UTF-16";
    if (even > 4 * most) return "numbers or text of 16 bits with the upper byte first";
    if (odd > 4 * words / 100 && odd > 4 * even) return "raw 16-bit ids";
    return NULL;
}
