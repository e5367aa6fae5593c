/* Full-batch training of a mixture density network as one fused loop over blocks of rows: one
   input, one hidden layer of tanh, MIXTURES Gaussians, Adam. The compiler vectorises all of it;
   it stands for what a network of this size costs without any overhead. */
#include <math.h>
#include <string.h>

#define BLOCK 64
#define OUTPUTS (3 * MIXTURES)
#define COUNT (2 * HIDDEN + OUTPUTS * (HIDDEN + 1))
#define ROWS for (int n = 0; n < BLOCK; n++)

static inline float fast_exp(float x) {
    x = fminf(fmaxf(x * 1.44269504f, -126.0f), 126.0f);
    float whole = floorf(x + 0.5f), part = x - whole;
    union { int i; float f; } scale = { ((int)whole + 127) << 23 };
    return scale.f * (1.0f + part * (0.693147181f + part * (0.240226507f + part * (0.0555041087f
                     + part * (0.00961812911f + part * (0.00133335581f
                     + part * 0.000154035304f))))));
}

static inline float fast_log(float x) {
    union { float f; int i; } bits = { x };
    int exponent = (bits.i - 0x3f3504f3) >> 23;
    bits.i -= exponent << 23;
    float t = (bits.f - 1.0f) / (bits.f + 1.0f), u = t * t;
    return exponent * 0.693147181f
           + 2.0f * t * (1.0f + u * (0.333333333f + u * (0.2f + u * 0.142857143f)));
}

/* Trains for some steps from parameters w and Adam's moments m and v; returns the last NLL.
   x and y must be readable for BLOCK rows past the end. */
float train(int rows, int steps, const float *x, const float *y, float *w, float *m, float *v,
            float rate) {
    float nll = 0.0f;
    for (int step = 1; step <= steps; step++) {
        float g[COUNT], total = 0.0f;
        memset(g, 0, sizeof g);
        float *w1 = w, *b1 = w + HIDDEN, *w2 = w + 2 * HIDDEN, *b2 = w2 + OUTPUTS * HIDDEN;
        float *gw1 = g, *gb1 = g + HIDDEN, *gw2 = g + 2 * HIDDEN, *gb2 = gw2 + OUTPUTS * HIDDEN;
        for (int start = 0; start < rows; start += BLOCK) {
            const float *xs = x + start, *ys = y + start;
            float h[HIDDEN][BLOCK], back[HIDDEN][BLOCK], o[OUTPUTS][BLOCK];
            float joint[MIXTURES][BLOCK], z[MIXTURES][BLOCK], inverse[MIXTURES][BLOCK];
            float slope[MIXTURES][BLOCK], top[BLOCK], top_joint[BLOCK], mass[BLOCK], mass_joint[BLOCK];
            for (int i = 0; i < HIDDEN; i++)
                ROWS h[i][n] = 1.0f - 2.0f / (1.0f + fast_exp(2.0f * (w1[i] * xs[n] + b1[i])));
            for (int j = 0; j < OUTPUTS; j++) {
                ROWS o[j][n] = b2[j];
                for (int i = 0; i < HIDDEN; i++)
                    ROWS o[j][n] += w2[j * HIDDEN + i] * h[i][n];
            }
            ROWS top[n] = top_joint[n] = -1e30f, mass[n] = mass_joint[n] = 0.0f;
            for (int k = 0; k < MIXTURES; k++)
                ROWS {
                    float raw = o[2 * MIXTURES + k][n], e = fast_exp(raw);
                    float scale = 1e-3f + (raw > 15.0f ? raw : fast_log(1.0f + e));
                    slope[k][n] = e / (1.0f + e);
                    inverse[k][n] = 1.0f / scale;
                    z[k][n] = (o[MIXTURES + k][n] - ys[n]) * inverse[k][n];
                    joint[k][n] = o[k][n] - 0.5f * z[k][n] * z[k][n] - fast_log(scale);
                    top[n] = fmaxf(top[n], o[k][n]);
                    top_joint[n] = fmaxf(top_joint[n], joint[k][n]);
                }
            for (int k = 0; k < MIXTURES; k++)
                ROWS {
                    o[k][n] = fast_exp(o[k][n] - top[n]);
                    joint[k][n] = fast_exp(joint[k][n] - top_joint[n]);
                    mass[n] += o[k][n];
                    mass_joint[n] += joint[k][n];
                }
            ROWS {
                float real = start + n < rows ? 1.0f : 0.0f;
                total += real * (top[n] - top_joint[n] + fast_log(mass[n] / mass_joint[n]));
                mass[n] = real / (mass[n] * rows);
                mass_joint[n] = real / (mass_joint[n] * rows);
            }
            for (int k = 0; k < MIXTURES; k++)
                ROWS {
                    float r = joint[k][n] * mass_joint[n], t = z[k][n];
                    o[k][n] = o[k][n] * mass[n] - r;
                    o[MIXTURES + k][n] = r * t * inverse[k][n];
                    o[2 * MIXTURES + k][n] = r * (1.0f - t * t) * inverse[k][n] * slope[k][n];
                }
            memset(back, 0, sizeof back);
            for (int j = 0; j < OUTPUTS; j++) {
                float sum = 0.0f;
                ROWS sum += o[j][n];
                gb2[j] += sum;
                for (int i = 0; i < HIDDEN; i++) {
                    float dot = 0.0f;
                    ROWS {
                        dot += o[j][n] * h[i][n];
                        back[i][n] += w2[j * HIDDEN + i] * o[j][n];
                    }
                    gw2[j * HIDDEN + i] += dot;
                }
            }
            for (int i = 0; i < HIDDEN; i++) {
                float sum = 0.0f, dot = 0.0f;
                ROWS {
                    float delta = back[i][n] * (1.0f - h[i][n] * h[i][n]);
                    sum += delta;
                    dot += delta * xs[n];
                }
                gb1[i] += sum;
                gw1[i] += dot;
            }
        }
        nll = total / rows + 0.918938533f;
        float c1 = 1.0f - powf(0.9f, step), c2 = 1.0f - powf(0.999f, step);
        for (int i = 0; i < COUNT; i++) {
            m[i] = 0.9f * m[i] + 0.1f * g[i];
            v[i] = 0.999f * v[i] + 0.001f * g[i] * g[i];
            w[i] -= rate * (m[i] / c1) / (sqrtf(v[i] / c2) + 1e-8f);
        }
    }
    return nll;
}
