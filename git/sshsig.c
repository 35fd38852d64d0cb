/* The armor holds, in base64:
 *
 *   "SSHSIG"  uint32 1  string key  string namespace  string reserved  string hash  string
 * signature
 *
 * and the key signed: "SSHSIG" string namespace, string reserved, string hash, string H(bytes).
 */
#include "git/sshsig.h"
#include "base/exec.h"
#include "base/fs.h"
#include <errno.h>
#include <sodium.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARMOR_BEGIN "-----BEGIN SSH SIGNATURE-----\n"
#define ARMOR_END   "\n-----END SSH SIGNATURE-----"
#define MAGIC       "SSHSIG"
#define VERSION     1
#define CHILD_MS    20000 /* ssh-keygen needs 5 ms */

bool span_take(struct span *from, struct span *string_out)
{
	if (from->len < 4)
		return false;
	size_t len = (size_t)from->at[0] << 24 | (size_t)from->at[1] << 16 |
		     (size_t)from->at[2] << 8 | from->at[3];
	if (len > from->len - 4)
		return false;
	*string_out = (struct span){from->at + 4, len};
	*from = (struct span){from->at + 4 + len, from->len - 4 - len};
	return true;
}

bool span_is(const struct span *span, const char *text)
{
	size_t len = strlen(text);
	return span->len == len && !memcmp(span->at, text, len);
}

static bool damaged(const char *what, struct error *err)
{
	return error_set(err, ERR_AUTH, "the SSH signature is damaged: %s", what);
}

/* ---- reading -----------------------------------------------------------------------------------
 */

bool sshsig_is_one(const char *armor, size_t len)
{
	size_t begin = strlen(ARMOR_BEGIN);
	return len >= begin && !memcmp(armor, ARMOR_BEGIN, begin);
}

/* @return the base64 between the armor's lines; NULL at: there is none */
static struct span armored(const char *armor, size_t len)
{
	size_t begin = strlen(ARMOR_BEGIN), end = strlen(ARMOR_END);
	if (len && armor[len - 1] == '\n')
		len--;
	if (!sshsig_is_one(armor, len) || len < begin + end ||
		memcmp(armor + len - end, ARMOR_END, end) != 0)
		return (struct span){NULL, 0};
	return (struct span){(const unsigned char *)armor + begin, len - begin - end};
}

static bool read_parts(struct span rest, struct sshsig *into, struct error *err)
{
	static const unsigned char head[] = {'S', 'S', 'H', 'S', 'I', 'G', 0, 0, 0, VERSION};
	struct span reserved, key;
	if (rest.len < sizeof(head) || memcmp(rest.at, MAGIC, strlen(MAGIC)) != 0)
		return damaged("it does not begin as one", err);
	if (memcmp(rest.at, head, sizeof(head)) != 0)
		return damaged("its version is not 1", err);
	rest = (struct span){rest.at + sizeof(head), rest.len - sizeof(head)};
	if (!span_take(&rest, &into->key) || !span_take(&rest, &into->purpose) ||
		!span_take(&rest, &reserved) || !span_take(&rest, &into->hash) ||
		!span_take(&rest, &into->signature))
		return damaged("it ends too early", err);
	if (rest.len)
		return damaged("something follows its end", err);
	if (reserved.len)
		return damaged("its reserved field is not empty", err);
	if (!span_is(&into->hash, "sha256") && !span_is(&into->hash, "sha512"))
		return damaged("its hash is neither sha256 nor sha512", err);
	key = into->key;
	if (!span_take(&key, &into->key_type))
		return damaged("its key is cut off", err);
	return true;
}

bool sshsig_parse(const char *armor, size_t len, struct sshsig *signature_out, struct error *err)
{
	auto_sshsig struct sshsig signature = {0};
	struct span text = armored(armor, len);
	size_t size = 0;
	if (len > SSHSIG_MAX)
		return damaged("it is too long", err);
	if (!text.at)
		return damaged("its first or last line is missing", err);
	signature.packed = mem_alloc(text.len);
	if (sodium_base642bin(signature.packed, text.len, (const char *)text.at, text.len, "\n",
		    &size, NULL, sodium_base64_VARIANT_ORIGINAL))
		return damaged("it is no base64", err);
	if (!read_parts((struct span){signature.packed, size}, &signature, err))
		return false;
	*signature_out = signature;
	signature.packed = NULL;
	return true;
}

void sshsig_clear(struct sshsig *signature)
{
	free(signature->packed);
	*signature = (struct sshsig){0};
}

/* ---- verifying ---------------------------------------------------------------------------------
 */

void span_add(struct buf *out, const void *bytes, size_t len)
{
	const unsigned char size[4] = {(unsigned char)(len >> 24), (unsigned char)(len >> 16),
		(unsigned char)(len >> 8), (unsigned char)len};
	buf_add(out, size, sizeof(size));
	buf_add(out, bytes, len);
}

void sshsig_covered(const struct sshsig *signature, const void *bytes, size_t len, struct buf *out)
{
	unsigned char digest[crypto_hash_sha512_BYTES];
	bool is_long = span_is(&signature->hash, "sha512");
	/* libsodium's hashes cannot fail: they return 0 always */
	if (is_long)
		(void)crypto_hash_sha512(digest, bytes, len);
	else
		(void)crypto_hash_sha256(digest, bytes, len);
	buf_add_str(out, MAGIC);
	span_add(out, signature->purpose.at, signature->purpose.len);
	span_add(out, "", 0);
	span_add(out, signature->hash.at, signature->hash.len);
	span_add(out, digest, is_long ? sizeof(digest) : crypto_hash_sha256_BYTES);
}

static bool bad_signature(struct error *err)
{
	(void)error_set(err, ERR_AUTH, "the signature does not belong to what it stands on");
	return error_hint(err, "it was changed after it was signed: sign it again");
}

static bool verify_ed25519(
	const struct sshsig *signature, const struct span *bytes, struct error *err)
{
	auto_buf struct buf covered = BUF_INIT(SSHSIG_MAX);
	struct span key = signature->key, made = signature->signature;
	struct span type, point, made_type, value;
	if (!span_take(&key, &type) || !span_take(&key, &point) || key.len ||
		point.len != crypto_sign_PUBLICKEYBYTES)
		return damaged("its key is not one of 32 bytes", err);
	if (!span_take(&made, &made_type) || !span_take(&made, &value) || made.len ||
		!span_is(&made_type, "ssh-ed25519") || value.len != crypto_sign_BYTES)
		return damaged("it is not one of 64 bytes", err);
	sshsig_covered(signature, bytes->at, bytes->len, &covered);
	if (crypto_sign_verify_detached(
		    value.at, (const unsigned char *)covered.text, covered.len, point.at))
		return bad_signature(err);
	return true;
}

static bool memory_file(const struct span *content, int *fd_out, struct error *err)
{
	/* exec keeps it open in the child, under the same number */
	auto_fd int fd = memfd_create("signature", MFD_CLOEXEC);
	if (fd < 0)
		return error_errno(err, errno, "memory file");
	ssize_t done = write(fd, content->at, content->len);
	if (done < 0 || (size_t)done != content->len)
		return error_errno(err, errno, "memory file");
	*fd_out = fd;
	fd = -1;
	return true;
}

static bool verify_by_child(const struct sshsig *signature, const struct span *armor,
	const struct span *bytes, struct error *err)
{
	auto_fd int fd = -1;
	auto_free char *purpose = mem_dup(signature->purpose.at, signature->purpose.len);
	struct exec_request request = EXEC_REQUEST_INIT;
	struct exec_result result;
	char path[32];
	if (strlen(purpose) != signature->purpose.len)
		return damaged("its namespace is no text", err);
	if (!memory_file(armor, &fd, err))
		return false;
	(void)snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	const char *const argv[] = {
		"ssh-keygen", "-Y", "check-novalidate", "-n", purpose, "-s", path, NULL};
	const char *const environment[] = {
		"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "HOME=/nonexistent", NULL};
	request.argv = argv;
	request.environ_ = environment;
	request.input = bytes->at;
	request.input_len = bytes->len;
	request.timeout_ms = CHILD_MS;
	request.keep_fd = fd;
	if (!exec_run(&request, &result, err)) {
		(void)error_hint(err, "install openssh-client: it verifies all keys but ed25519");
		return error_wrap(err, "ssh-keygen");
	}
	bool ended = !result.timed_out && !result.signal;
	bool good = ended && !result.exit_status;
	exec_result_clear(&result);
	if (!ended)
		return error_set(err, ERR_TIMEOUT, "ssh-keygen did not end by itself");
	return good ? true : bad_signature(err);
}

bool sshsig_verify(const struct sshsig *signature, const struct span *armor,
	const struct span *bytes, struct error *err)
{
	if (span_is(&signature->key_type, "ssh-ed25519"))
		return verify_ed25519(signature, bytes, err);
	return verify_by_child(signature, armor, bytes, err);
}
