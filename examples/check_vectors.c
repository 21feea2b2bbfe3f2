/* Holds a program in C against golden vectors: softmax attention, forward and backward, in double.
 *     gradcheck vectors export vectors --format json softmax_attention
 *     cc -O2 -o check_vectors examples/check_vectors.c -lm && ./check_vectors vectors/softmax_attention.json
 * Exit status: 0 all cases conform, 1 one does not, 2 the file cannot be used.  With -DWRONG a gradient is
 * off by one part in 10^12, and is found.  Not for this program: cases with params or leading axes. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef WRONG
#define WRONG 0
#endif
#define MOST 4096 /* a file of 64 KiB has fewer numbers */
#define PLACE(m, i, j) ((m.rows == 1 ? 0 : i) * m.columns + (m.columns == 1 ? 0 : j)) /* ones stretch */
typedef struct { const char *name; int present, rows, columns; double at[MOST]; } Matrix;
static Matrix query = {.name = "query"}, key = {.name = "key"}, value = {.name = "value"},
              bias = {.name = "bias"}, keep = {.name = "keep"}, dropped = {.name = "dropout_keep"},
              dout = {.name = "out"}, dweights = {.name = "weights"}, dlse = {.name = "log_sum_exp"};
static double ours[7][MOST]; /* the results, in the order of their names in main */

/* What follows "word": between p and end, or nothing. */
static const char *after(const char *p, const char *end, const char *word) {
    char quoted[64];
    size_t length = (size_t)snprintf(quoted, sizeof quoted, "\"%s\":", word);
    p = p ? strstr(p, quoted) : NULL;
    return p && p < end ? p + length : NULL;
}

/* The n-th text of the entry "name" between p and end: [shape,"exponent:words",...], each word such as -3c.8
 * a hexadecimal float without its 0x.  How many there are; -1 if it is damaged or has more than two axes. */
static int numbers(const char *p, const char *end, const char *name, int n, Matrix *m) {
    int found = 0, more;
    char *next, word[64];
    m->rows = m->columns = 1;
    if (!(p = after(p, end, name)) || sscanf(p, "[[%d,%d,%d", &m->rows, &m->columns, &more) > 2) return -1;
    for (n = 2 * n - 1; p && n; n--) p = (p = strchr(p, '"')) ? p + 1 : NULL;
    int exponent = p ? (int)strtol(p, &next, 10) : 0, count = m->rows * m->columns;
    for (p = p ? next : ""; *p && *p != '"' && found < count && found < MOST; found++) {
        int sign = *++p == '-' ? -1 : 1, length = (int)strspn(p += sign < 0, "0123456789abcdef.p-");
        snprintf(word, sizeof word, "0x%.*s", length, p);
        m->at[found] = sign * ldexp(strtod(word, &next), exponent), p += length;
        if (*next || !length) break;
    }
    return found == count ? count : -1;
}

/* Whether a matrix can be used: it is whole, or absent. */
static int got(const char *p, const char *end, const char *part, Matrix *m) {
    m->present = after(p = after(p, end, part), end, m->name) != NULL;
    return !m->present || numbers(p, end, m->name, 1, m) >= 0;
}

static void attention(void) {
    int q = query.rows, k = key.rows, d = query.columns, c = value.columns;
    double scale = 1 / sqrt(d > 0 ? d : 1), z[MOST], g[MOST], *out = ours[0], *weights = ours[1];
    double *lse = ours[2], *dquery = ours[3], *dkey = ours[4], *dvalue = ours[5], *dbias = ours[6];
    memset(ours, 0, sizeof ours);
    for (int i = 0; i < q; i++) {
        int winner = -1;
        double sum = 0, mean = 0, *p = weights + i * k;
        for (int j = 0; j < k; j++) {
            z[j] = bias.present ? bias.at[PLACE(bias, i, j)] : 0;
            for (int a = 0; a < d; a++) z[j] += scale * query.at[i * d + a] * key.at[j * d + a];
            if (keep.present && !keep.at[PLACE(keep, i, j)]) z[j] = -INFINITY;
            else if (winner < 0 || z[j] > z[winner]) winner = j;
        }
        if (winner < 0) continue; /* it attends to nothing: zeros */
        for (int j = 0; j < k; j++) sum += p[j] = exp(z[j] - z[winner]);
        lse[i] = z[winner] + log(sum);
        for (int j = 0; j < k; j++) {
            p[j] /= sum, g[j] = dweights.at[i * k + j];
            for (int a = 0; a < c; a++) {
                out[i * c + a] += p[j] * value.at[j * c + a], dvalue[j * c + a] += p[j] * dout.at[i * c + a];
                g[j] += dout.at[i * c + a] * value.at[j * c + a];
            }
        }
        for (int j = 0; j < k; j++) mean += p[j] * (g[j] - g[winner]); /* so nothing cancels in a sharp row */
        for (int j = 0; j < k; j++) {
            double dz = p[j] * (g[j] - g[winner] - mean + dlse.at[i]);
            if (bias.present) dbias[PLACE(bias, i, j)] += dz;
            for (int a = 0; a < d; a++) {
                dquery[i * d + a] += scale * dz * key.at[j * d + a];
                dkey[j * d + a] += scale * dz * query.at[i * d + a] * (1 + 1e-12 * WRONG);
            }
        }
    }
}

static int conforms(const char *p, const char *end, const char *name, const double *found) {
    static Matrix hi, lo, allowed;
    int n = numbers(p, end, name, 1, &hi), ok = n >= 0;
    ok &= numbers(p, end, name, 2, &lo) == n && numbers(p, end, name, 3, &allowed) == n;
    for (int i = 0; i < n; i++) /* written so that NaN fails */
        if (!(fabs(found[i] - hi.at[i] - lo.at[i]) <= allowed.at[i] + DBL_MIN))
            ok = 0, printf("  %s[%d] is %.17g, the truth %.17g\n", name, i, found[i], hi.at[i]);
    return ok;
}

int main(int count, char **words) {
    static char text[1 << 20];
    FILE *file = count == 2 ? fopen(words[1], "rb") : NULL;
    const char *end = text + (file ? fread(text, 1, sizeof text - 1, file) : 0), *next;
    const char *name[] = {"out", "weights", "log_sum_exp", "g(query)", "g(key)", "g(value)", "g(bias)"};
    Matrix *given[] = {&query, &key, &value, &bias, &keep, &dropped, &dout, &dweights, &dlse};
    int judged = 0, failed = 0, others = 0;
    if (!strstr(text, "\"version\":2,") || !strstr(text, "\"softmax_attention\"") || strcmp(end - 3, "]}\n"))
        return fprintf(stderr, "check_vectors: a whole softmax_attention.json of version 2 expected\n"), 2;
    for (const char *p = after(text, end, "id"); p; p = next) {
        const char *to = (next = after(p, end, "id")) ? next : end, *params = after(p, to, "params");
        int ok = 1, fits = params && !strncmp(params, "{}", 2);
        for (int i = 0; i < 9; i++) fits &= got(p, to, i < 6 ? "inputs" : "cotangents", given[i]);
        if (!fits || dropped.present) { others++; continue; }
        attention(), judged++;
        for (int i = 0; i < 6 + bias.present; i++) ok &= conforms(after(p, to, "truth"), to, name[i], ours[i]);
        if (!ok) failed++, printf("in the case %.18s\n", p);
    }
    return printf("%d cases judged, %d failed, %d others\n", judged, failed, others), judged ? failed > 0 : 2;
}
