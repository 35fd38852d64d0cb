/* git/signers.h - whose signature lets a commit be deployed (design.md, promise 10)
 *
 * The list is a file in the format of ssh-keygen(1), ALLOWED SIGNERS, kept outside of the
 * repository that it protects. Read strictly: a line that OpenSSH would pass over is an error here,
 * with its number. Validity is judged at the commit's committer time, as git(1) does.
 */
#pragma once
#include "git/repo.h"
#include "git/sshsig.h"

#define SIGNERS_FILE_MAX ((size_t)4 << 20)
#define SIGNER_TEXT      200 /* bytes for the name of a signer */

struct signers;

/** Paths of the files; only @p allowed must be there. */
struct signers_files {
	const char *allowed; /* allowed_signers */
	const char *revoked; /* public keys, one a line, or NULL */
	const char *keyring; /* OpenPGP keys of the forge, as gpgv(1) reads them, or NULL */
};
/** Read the files. ERR_INVALID with file and line, or what fs_read() says. */
MUST_USE bool signers_load(
	const struct signers_files *files, struct signers **signers_out, struct error *err);
/** Parse the text of an allowed_signers file. @param file  for messages; copied */
MUST_USE bool signers_parse(const char *file, const char *text, size_t len,
	struct signers **signers_out, struct error *err);
/** Keys of this text ("type base64 comment" lines) sign nothing any more. A key revocation list in
 *  OpenSSH's binary format is refused by name. */
MUST_USE bool signers_revoke(
	struct signers *signers, const char *file, const char *text, size_t len, struct error *err);
void signers_free(struct signers *signers);
DEFINE_CLEANUP(struct signers, signers_free)
#define auto_signers CLEANUP(signers_free_at)

/** Something with a detached signature. */
struct signed_text {
	struct span armor;
	struct span bytes;
	int64_t wall_s; /* when it was made, as it says itself */
};
/**
 * Is it signed by a listed key, for git, within the key's time, and not revoked?
 * @param signer  SIGNER_TEXT bytes; set on success only: the first name of the key's line
 * @return false with ERR_AUTH and the reason; other codes: it could not be found out
 */
MUST_USE bool signers_check(const struct signers *signers, const struct signed_text *text,
	char *signer, struct error *err);

/**
 * Split the bytes of a commit object into its signature and what that covers.
 * @return false with ERR_AUTH: it has none, two, or one in a place where git would not look
 */
MUST_USE bool commit_split(const void *bytes, size_t len, struct buf *signature,
	struct buf *covered, struct error *err);

/** Does the commit carry a signature, good or not? */
MUST_USE bool commit_is_signed(
	struct repo *repo, const struct oid *commit, bool *signed_out, struct error *err);

/**
 * May this commit be deployed, as far as its signature goes?
 *
 * It is well signed; or it is a merge and a key of the forge's keyring signed it; or it is the
 * merge, without conflicts, of its first parent with a well-signed second one, byte by byte.
 * @param signer  SIGNER_TEXT bytes, set on success: who answers for it
 * @return false with ERR_AUTH and the reason, which names the commit
 */
MUST_USE bool signers_check_commit(const struct signers *signers, struct repo *repo,
	const struct oid *commit, char *signer, struct error *err);
