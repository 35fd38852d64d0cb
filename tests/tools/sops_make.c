/* sops_make keygen              a new age key file on standard output
 * sops_make encrypt KEY-FILE    plain YAML from standard input as a SOPS file for that key's owner
 * sops_make decrypt KEY-FILE    the way back, as JSON
 */
#include "base/fs.h"
#include "reconcile/secrets/secret.h"
#include "reconcile/secrets/sops.h"
#include <unistd.h>

#define FILE_LIMIT ((size_t)16 << 20)

static bool read_input(struct buf *out, struct error *err)
{
	char bytes[65536];
	ssize_t got;
	while ((got = read(STDIN_FILENO, bytes, sizeof(bytes))) > 0)
		buf_add(out, bytes, (size_t)got);
	return got == 0 || error_set(err, ERR_SYSTEM, "standard input does not read");
}

static bool read_keyring(const char *path, struct keyring **keyring_out, struct error *err)
{
	auto_buf struct buf text = BUF_INIT_SECRET(FILE_LIMIT);
	return fs_read_secret(path, FILE_LIMIT, &text, err) &&
	       keyring_read(path, text.text, text.len, keyring_out, err);
}

static bool keygen(struct buf *out)
{
	auto_keyring struct keyring *keyring = keyring_generate();
	keyring_write(keyring, out);
	return true;
}

static bool encrypt(const char *key_file, struct buf *out, struct error *err)
{
	auto_keyring struct keyring *keyring = NULL;
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_buf struct buf plain = BUF_INIT_SECRET(FILE_LIMIT);
	auto_strlist struct strlist recipients = STRLIST_INIT;
	const struct node_options options = {.rules = NODE_SOPS};
	const struct node *node;
	if (!read_keyring(key_file, &keyring, err) || !read_input(&plain, err) ||
		!node_parse_yaml(arena, "stdin", plain.text, plain.len, &options, &node, err))
		return false;
	keyring_recipients(keyring, &recipients);
	return sops_encrypt_yaml(node, &recipients, out, err);
}

static bool decrypt(const char *key_file, struct buf *out, struct error *err)
{
	auto_keyring struct keyring *keyring = NULL;
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_buf struct buf file = BUF_INIT(FILE_LIMIT);
	const struct node *node;
	if (!read_keyring(key_file, &keyring, err) || !read_input(&file, err) ||
		!sops_decrypt_yaml(
			"stdin.yaml", file.text, file.len, keyring, arena, &node, NULL, err))
		return false;
	node_to_json(node, 0, false, out);
	return true;
}

static bool run(int argc, char **argv, struct buf *out, struct error *err)
{
	if (argc == 2 && !strcmp(argv[1], "keygen"))
		return keygen(out);
	if (argc == 3 && !strcmp(argv[1], "encrypt"))
		return encrypt(argv[2], out, err);
	if (argc == 3 && !strcmp(argv[1], "decrypt"))
		return decrypt(argv[2], out, err);
	return error_set(
		err, ERR_INVALID, "usage: sops_make keygen | encrypt KEY-FILE | decrypt KEY-FILE");
}

int main(int argc, char **argv)
{
	char line[1500];
	struct error err;
	struct buf out = BUF_INIT_SECRET(FILE_LIMIT);
	bool good = run(argc, argv, &out, &err);
	if (good)
		good = fwrite(out.text, 1, out.len, stdout) == out.len && !fflush(stdout);
	else
		fprintf(stderr, "sops_make: %s\n", error_line(&err, line, sizeof(line)));
	buf_clear(&out);
	secret_mask_clear();
	return good ? 0 : 1;
}
