/* A commit object, an armored signature, and a list of signers: the same bytes as each of them. */
#include "git/signers.h"

/* made with ssh-keygen; corpus/sshsig/commit is signed by it */
#define LIST                                                                                       \
	"fuzz@x namespaces=\"git\" ssh-ed25519 "                                                   \
	"AAAAC3NzaC1lZDI1NTE5AAAAIJzPu29YIUEcluaXzUpS2ZiYTs039EaB2rsTm8ngV7Gi"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ed25519 only, by the list: no child is started. */
static void check(const struct span *armor, const struct span *bytes)
{
	auto_signers struct signers *signers = NULL;
	const struct signed_text text = {.armor = *armor, .bytes = *bytes, .wall_s = 1700000000};
	char signer[SIGNER_TEXT];
	struct error err;
	if (!signers_parse("list", LIST, strlen(LIST), &signers, &err))
		abort();
	/* either answer is fine, but none for another reason than the bytes */
	if (!signers_check(signers, &text, signer, &err) && err.code != ERR_AUTH)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_buf struct buf signature = BUF_INIT((size_t)1 << 20);
	auto_buf struct buf covered = BUF_INIT((size_t)1 << 20);
	auto_signers struct signers *signers = NULL;
	const struct span all = {data, size};
	struct error err;
	check(&all, &all);
	if (commit_split(data, size, &signature, &covered, &err))
		check(&(struct span){(const unsigned char *)signature.text, signature.len},
			&(struct span){(const unsigned char *)covered.text, covered.len});
	if (signers_parse("list", (const char *)data, size, &signers, &err)) {
		/* a list of signers is often a list of revoked keys, too */
		bool fine = signers_revoke(signers, "list", (const char *)data, size, &err);
		(void)fine;
	} else if (err.code != ERR_INVALID) {
		abort();
	}
	return 0;
}
