/* Any bytes as a plain file of one of the five formats, which the first byte chooses: what is read
 * is encrypted, opened with the key and printed; the second time the same comes out. */
#include "reconcile/secrets/secret.h"
#include "reconcile/secrets/sops_file.h"
#include <sodium.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"f.yaml", "f.json", "f.env", "f.ini", "f.bin"};

struct round {
	struct keyring *keyring;
	struct sops_creation creation;
	struct sops_printing printing;
	const char *name;
};

/* False where it is refused: nothing may come out then. */
static bool turn(const struct round *round, const struct buf *plain, struct buf *printed)
{
	const struct sops_source source = {
		round->printing.format, round->name, plain->text, plain->len};
	auto_sops_file struct sops_file *file = NULL, *opened = NULL;
	auto_buf struct buf written = BUF_INIT((size_t)1 << 28);
	enum sops_failure failure;
	struct error err = {.message = ""};
	if (!sops_file_new(&source, &round->creation, &file, &failure, &err) ||
		!sops_file_write(file, &round->printing, &written, &err)) {
		if (!*err.message || written.len)
			abort();
		return false;
	}
	const struct sops_source sealed = {
		round->printing.format, round->name, written.text, written.len};
	if (sealed.len > (size_t)16 << 20)
		return false;
	if (!sops_file_open(&sealed, round->keyring, &opened, &failure, &err) || failure != SOPS_OK)
		abort();
	return sops_file_print(opened, &round->printing, printed, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct round round = {0};
	auto_buf struct buf plain = BUF_INIT(size), first = BUF_INIT_SECRET((size_t)1 << 28);
	auto_buf struct buf second = BUF_INIT_SECRET((size_t)1 << 28);
	if (!size || sodium_init() < 0)
		return 0;
	round.printing.format = (enum sops_format)(data[0] % ARRAY_LEN(names));
	round.name = names[round.printing.format];
	round.keyring = keyring_generate();
	keyring_recipients(round.keyring, sops_creation_add_group(&round.creation));
	buf_add(&plain, data + 1, size - 1);
	/* comments may move once, to where they are written; most do not, and that is the end.
	 * Those of ini lose a mark each time that they are read, as with sops. */
	if (turn(&round, &plain, &first) && turn(&round, &first, &second) &&
		(first.len != second.len || memcmp(first.text, second.text, first.len) != 0)) {
		auto_buf struct buf third = BUF_INIT_SECRET((size_t)1 << 28);
		bool ini = round.printing.format == SOPS_INI;
		if (!turn(&round, &second, &third) ||
			(!ini && (second.len != third.len ||
					 memcmp(second.text, third.text, third.len) != 0))) {
			fprintf(stderr, "---\n%s---\n%s", second.text, third.text);
			abort();
		}
	}
	keyring_free(round.keyring);
	sops_creation_clear(&round.creation);
	secret_mask_clear();
	return 0;
}
