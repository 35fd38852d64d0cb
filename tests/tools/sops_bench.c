/* sops_bench [VALUES [SECONDS]]: SOPS YAML files opened per second in one thread, and where the
 * time goes */
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/age_format.h"
#include "reconcile/secrets/secret.h"
#include "reconcile/secrets/sops.h"
#include "reconcile/secrets/sops_metadata.h"
#include "reconcile/secrets/sops_store.h"
#include <sodium.h>
#include <time.h>

#define FILES_OF_A_COMMIT 60 /* clients: they share one arena */

#define ENC_TEXT_MAX 256

struct bench {
	struct keyring *keyring;
	struct sops_cipher *cipher;
	const struct node *value; /* one as it is encrypted */
	struct buf file;
	unsigned values;
	int64_t seconds;
};

static void make_file(struct bench *bench)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_buf struct buf plain = BUF_INIT(1 << 24);
	auto_strlist struct strlist recipients = STRLIST_INIT;
	const struct node_options options = {.rules = NODE_SOPS};
	const struct node *node;
	struct error err;
	for (unsigned i = 0; i < bench->values; i++)
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

/* ---- the steps, as often as one file needs them ---- */

static bool agree(const struct bench *bench, struct arena *arena)
{
	const struct age_identity *identity = &keyring_identities(bench->keyring)->items[0];
	uint8_t shared[AGE_KEY_SIZE];
	(void)arena; /* nothing stays */
	return crypto_scalarmult(shared, identity->secret, identity->recipient) == 0;
}

/* wrap key, header's MAC key, payload key; and that MAC */
static bool derive(const struct bench *bench, struct arena *arena)
{
	uint8_t key[AGE_HASH_SIZE] = {0}, mac[AGE_HASH_SIZE];
	const struct age_bytes some = {key, sizeof(key)};
	(void)bench; /* any bytes will do */
	(void)arena; /* nothing stays */
	for (int i = 0; i < 2; i++)
		age_hkdf(some, some, "payload", key);
	age_header_mac(key, "age-encryption.org/v1", 21, mac);
	return true;
}

/* every value, and the MAC */
static bool open_values(const struct bench *bench, struct arena *arena)
{
	(void)arena; /* nothing stays */
	for (unsigned i = 0; i <= bench->values; i++) {
		struct sops_plain plain = {.text = BUF_INIT_SECRET(ENC_TEXT_MAX)};
		struct error err;
		bool ok = sops_value_decrypt(
			bench->cipher, bench->value, (struct sops_aad){"a:", 2}, &plain, &err);
		buf_clear(&plain.text);
		if (!ok)
			return false;
	}
	return true;
}

static void make_value(struct bench *bench, struct arena *arena)
{
	static const uint8_t key[SOPS_KEY_SIZE];
	struct sops_plain plain = {.text = BUF_INIT_SECRET(ENC_TEXT_MAX), .type = SOPS_STR};
	auto_buf struct buf enc = BUF_INIT(ENC_TEXT_MAX);
	bench->cipher = sops_cipher_new(key);
	buf_add_str(&plain.text, "value-of-a-password-55433");
	sops_value_encrypt(bench->cipher, &plain, (struct sops_aad){"a:", 2}, &enc);
	buf_clear(&plain.text);
	bench->value = node_new_string(arena, enc.text, enc.len);
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
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	struct bench bench = {.file = BUF_INIT(1 << 24)};
	bench.values = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10;
	bench.seconds = argc > 2 ? strtol(argv[2], NULL, 10) : 2;
	bench.keyring = keyring_generate();
	make_file(&bench);
	make_value(&bench, arena);
	printf("%u values, %zu bytes\n", bench.values, bench.file.len);
	measure("open", decrypt, &bench);
	measure("  parse", parse, &bench);
	measure("  parse and data key", peek_and_unlock, &bench);
	measure("  X25519", agree, &bench);
	measure("  HKDF, header's MAC", derive, &bench);
	measure("  AES-GCM of its values", open_values, &bench);
	buf_clear(&bench.file);
	sops_cipher_free(bench.cipher);
	keyring_free(bench.keyring);
	secret_mask_clear();
	return 0;
}
