/* sops_bench [VALUES [SECONDS]]: SOPS YAML files opened per second in one thread, and where the
 * time goes */
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/secret.h"
#include "reconcile/secrets/sops.h"
#include "reconcile/secrets/sops_metadata.h"
#include "reconcile/secrets/sops_store.h"
#include <sodium.h>
#include <time.h>

#define FILES_OF_A_COMMIT 60 /* clients: they share one arena */

struct bench {
	struct keyring *keyring;
	struct buf file;
	int64_t seconds;
};

static void make_file(struct bench *bench, unsigned values)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_buf struct buf plain = BUF_INIT(1 << 24);
	auto_strlist struct strlist recipients = STRLIST_INIT;
	const struct node_options options = {.rules = NODE_SOPS};
	const struct node *node;
	struct error err;
	for (unsigned i = 0; i < values; i++)
		buf_addf(&plain, "secret_%u: value-of-a-password-%u\n", i, i * 7919);
	keyring_recipients(bench->keyring, &recipients);
	if (!node_parse_yaml(arena, "plain", plain.text, plain.len, &options, &node, &err) ||
		!sops_encrypt_yaml(node, &recipients, &bench->file, &err)) {
		fprintf(stderr, "%s\n", err.message);
		abort();
	}
}

static bool decrypt(const struct bench *bench, struct arena *arena)
{
	const struct node *node;
	struct error err;
	return sops_decrypt_yaml("f.yaml", bench->file.text, bench->file.len, bench->keyring, arena,
		&node, NULL, &err);
}

static bool parse(const struct bench *bench, struct arena *arena)
{
	struct sops_loaded loaded;
	struct error err;
	const struct sops_source source = {SOPS_YAML, "f.yaml", bench->file.text, bench->file.len};
	return sops_store_read(&source, arena, false, &loaded, &err);
}

static bool peek_and_unlock(const struct bench *bench, struct arena *arena)
{
	auto_sops_metadata struct sops_metadata metadata = {0};
	struct sops_loaded loaded;
	enum sops_failure failure;
	uint8_t key[SOPS_KEY_SIZE];
	struct error err;
	const struct sops_source source = {SOPS_YAML, "f.yaml", bench->file.text, bench->file.len};
	return sops_store_read(&source, arena, false, &loaded, &err) && loaded.metadata &&
	       sops_metadata_read(arena, loaded.metadata, &metadata, &err) &&
	       sops_metadata_unlock(&metadata, bench->keyring, key, &failure, &err);
}

/* CPU time of the process: what other work does on the machine does not count. */
static double cpu_us(void)
{
	struct timespec now;
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) != 0)
		abort();
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void measure(const char *name, bool (*run)(const struct bench *, struct arena *),
	const struct bench *bench)
{
	double start = cpu_us(), took;
	unsigned long count = 0;
	do {
		auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
		for (int i = 0; i < FILES_OF_A_COMMIT; i++) {
			if (!run(bench, arena))
				abort(); /* it opened when it was made */
		}
		count += FILES_OF_A_COMMIT;
		took = cpu_us() - start;
	} while (took < (double)bench->seconds * 1e6);
	printf("%-28s %8.0f /s  %7.1f us\n", name, (double)count * 1e6 / took,
		took / (double)count);
}

int main(int argc, char **argv)
{
	struct bench bench = {.file = BUF_INIT(1 << 24), .seconds = 2};
	unsigned values = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10;
	bench.seconds = argc > 2 ? strtol(argv[2], NULL, 10) : 2;
	bench.keyring = keyring_generate();
	make_file(&bench, values);
	printf("%u values, %zu bytes\n", values, bench.file.len);
	measure("open", decrypt, &bench);
	measure("  parse", parse, &bench);
	measure("  parse and data key", peek_and_unlock, &bench);
	buf_clear(&bench.file);
	keyring_free(bench.keyring);
	secret_mask_clear();
	return 0;
}
