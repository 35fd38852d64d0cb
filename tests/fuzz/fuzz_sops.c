/* Any bytes as a SOPS file; the first byte chooses the format by name. What opens, or passes as
 * encrypted, is written and read again the same. */
#include "reconcile/secrets/secret.h"
#include "reconcile/secrets/sops.h"
#include "reconcile/secrets/sops_formats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Test key of tests/fixtures/sops/keys/age-1.txt, so that the corpus opens. */
static const char key[] =
	"AGE-SECRET-KEY-1FUHLADK5FT4HJTYVJEMJWPDNU37272ZJE58AT37WTEUTRXZE7DASLZ9QA6";

static void check_written(const struct node *map)
{
	const struct node_options options = {.rules = NODE_SOPS};
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_buf struct buf out = BUF_INIT((size_t)1 << 30);
	const struct node *again;
	struct error err;
	sops_yaml_write(sops_item_of_node(arena, map), 0, &out);
	/* 08 is the float 8, which is printed as the integer: the same value, also for the MAC */
	if (!node_parse_yaml(arena, "written", out.text, out.len, &options, &again, &err) ||
		!sops_item_same_values(
			sops_item_of_node(arena, map), sops_item_of_node(arena, again))) {
		fprintf(stderr, "%s\n%s\n", err.message, out.text);
		abort();
	}
}

static void open_yaml(const char *text, size_t size, bool checked)
{
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_keyring struct keyring *keyring = NULL;
	const struct node *node;
	enum sops_failure failure;
	struct error err;
	if (!keyring_read("key", key, strlen(key), &keyring, &err))
		abort();
	if (sops_decrypt_yaml("f.yaml", text, size, keyring, arena, &node, &failure, &err) !=
		(failure == SOPS_OK))
		abort();
	/* keys that are no text pass a peek, but nothing that was checked has them */
	if (checked && sops_peek_yaml("f.yaml", text, size, arena, &node, &err))
		check_written(node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"f.yaml", "f.json", "f.env", "f.ini", "f.bin"};
	auto_strlist struct strlist recipients = STRLIST_INIT;
	struct error err;
	if (!size)
		return 0;
	const char *name = names[data[0] % ARRAY_LEN(names)], *text = (const char *)data + 1;
	bool checked = sops_check_encrypted(name, text, size - 1, &err);
	if (checked && !sops_recipients(name, text, size - 1, &recipients, &err))
		abort();
	if (data[0] % ARRAY_LEN(names) == 0)
		open_yaml(text, size - 1, checked);
	secret_mask_clear();
	return 0;
}
