/* Any text as a regular expression of Go: what is translated compiles and runs. */
#include "base/buf.h"
#include "reconcile/secrets/sops_rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf posix = BUF_INIT(1 << 20);
	auto_free char *text = mem_dup(data, size);
	struct error err;
	regex_t regex;
	bool icase;
	if (!sops_regex_translate(text, &posix, &icase, &err))
		return 0;
	if (regcomp(&regex, posix.text, REG_EXTENDED | REG_NOSUB) != 0)
		return 0; /* glibc's own limits; the caller reports it */
	(void)regexec(&regex, "stringData-password_1", 0, NULL, 0); /* either is fine */
	regfree(&regex);
	return 0;
}
