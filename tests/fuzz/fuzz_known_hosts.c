/* A known_hosts file, then a host looked up in it; and the same bytes as a private key. */
#include "base/known_hosts.h"
#include "base/ssh.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_known_hosts struct known_hosts *hosts = NULL;
	auto_strlist struct strlist types = STRLIST_INIT;
	struct error err;

	if (known_hosts_parse("known_hosts", (const char *)data, size, &hosts, &err)) {
		known_hosts_types(hosts, "git.example", 2222, &types);
		/* either answer is fine: only crashes count here and below */
		bool known = known_hosts_check(
			hosts, &(struct host_key){"git.example", 22, data, size}, &err);
		(void)known;
	}
	bool fine = ssh_key_check("key", (const char *)data, size, &err);
	(void)fine;
	return 0;
}
