/* Replays inputs through a fuzz target with any compiler: each file named, or one empty input.
 * libFuzzer brings its own main(); this file is left out then.
 */
#include "base/buf.h"

#define INPUT_MAX ((size_t)64 * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool replay(const char *path)
{
	auto_file FILE *file = fopen(path, "rbe");
	if (!file) {
		perror(path);
		return false;
	}
	auto_buf struct buf input = BUF_INIT(INPUT_MAX);
	char part[65536];
	for (size_t got; (got = fread(part, 1, sizeof(part), file));)
		buf_add(&input, part, got);
	/* A copy of exactly its size, so that reading one byte too far is seen. */
	auto_free char *copy = mem_alloc(input.len);
	memcpy(copy, input.text, input.len);
	(void)LLVMFuzzerTestOneInput((const uint8_t *)copy, input.len); /* always 0 */
	return true;
}

int main(int argc, char **argv)
{
	bool good = true;
	if (argc < 2)
		(void)LLVMFuzzerTestOneInput((const uint8_t *)"", 0); /* always 0 */
	for (int i = 1; i < argc; i++)
		good = replay(argv[i]) && good;
	return good ? 0 : 1;
}
