/* Any bytes as a dotenv file, encrypted and plain: what is read is printed, and reads back the
 * same. */
#include "tests/fuzz/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return store_fuzz(SOPS_DOTENV, "f.dotenv", data, size);
}
