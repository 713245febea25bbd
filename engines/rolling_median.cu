// The rolling median of gradients on a GPU: gradients, window, exact median and magnitude in one kernel.
//
// One thread a pixel. The arithmetic is that of pipeline/median_kernels.py: every value is made distinct by its slot,
// a cut is chosen beside the old middle, and the two keys around the cut are the new middle. Keys are 32 bits.

extern "C" __global__ void advance_window(
    const PIXEL *frames,   // (w, H * W), the new frame already in its slot
    const PIXEL *old_one,  // (H * W), the frame that leaves; not read while the window fills
    int n_old, int full, int slot, int height, int width, int shift,
    int *lo, int *hi,      // (2, H * W), the middle keys
    float *magnitude)      // (H * W), length of the two medians
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const int n_px = height * width;
    if (i >= n_px) return;
    const int x = i % width, y = i / width;
    const int n = full ? n_old : n_old + 1;
    float squares = 0.0f;
    for (int axis = 0; axis < 2; ++axis) {
        const int ahead = axis ? width : 1;
        const bool inside = axis ? (y > 0 && y < height - 1) : (x > 0 && x < width - 1);
        if (!inside) continue;
        const int p = i + ahead, q = i - ahead;
        const int at = axis * n_px + i;
        const PIXEL *newest = frames + (long long)slot * n_px;
        const int scale = 1 << shift;
        const int b = ((int)newest[p] - (int)newest[q]) * scale + slot;
        const int a = full ? ((int)old_one[p] - (int)old_one[q]) * scale + slot : 0;
        const int low = lo[at], high = n_old % 2 == 0 ? hi[at] : low;
        const int want = n / 2, odd = n & 1;
        const int n_low = n_old > 0 ? (n_old - 1) / 2 : 0, n_high = n_old / 2;
        const int below_low = n_low - (full && a < low) + (b < low);
        const int upto_low = n_low + (n_old > 0) - (full && a <= low) + (b <= low);
        const int below_high = n_high - (full && a < high) + (b < high);
        int cut = odd ? low : high + 1;
        if (below_high == want) cut = high;
        if (upto_low == want) cut = low + 1;
        if (below_low == want) cut = low;
        const bool found = below_low == want || upto_low == want || below_high == want;
        unsigned up = 0xffffffffu, down = 0u;
        for (int s = 0; s < n; ++s) {
            const PIXEL *frame = frames + (long long)s * n_px;
            const unsigned t = (unsigned)(((int)frame[p] - (int)frame[q]) * scale + s - cut);
            up = t < up ? t : up;
            down = t > down ? t : down;
        }
        const int above = (int)((unsigned)cut + up), below = (int)((unsigned)cut + down);
        const int middle = (found || !odd) ? above : below;
        lo[at] = odd ? middle : below;
        hi[at] = odd ? middle : above;
        const float median = 0.5f * (float)((lo[at] >> shift) + (hi[at] >> shift));
        squares += median * median;
    }
    magnitude[i] = sqrtf(squares);
}
