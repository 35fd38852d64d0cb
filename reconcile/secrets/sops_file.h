/* reconcile/secrets/sops_file.h - a SOPS file that is decrypted, changed and written back
 *
 *   sops_file_open() ----> set, unset, edit, rotate, update_keys ----> sops_file_write()
 *   sops_file_new() ---/        \--> sops_file_print(), sops_file_extract()
 *
 * Specs/sops-age.md 3. The ciphertext of what is not changed stays as it was. Whatever is written
 * was read back, decrypted and compared before. Not for several threads.
 */
#pragma once
#include "reconcile/secrets/sops.h"
#include "reconcile/secrets/sops_config.h"
#include "reconcile/secrets/sops_store.h"

struct sops_file;

/** Open and verify a file. @p failure_out is set in either case. The source's bytes need not
 *  outlive the call. */
MUST_USE bool sops_file_open(const struct sops_source *source, const struct keyring *keyring,
	struct sops_file **file_out, enum sops_failure *failure_out, struct error *err);
/**
 * Take a plain file and make a new data key for it.
 * @param creation     recipients, groups and rule, see sops_config_rule(); copied
 * @param failure_out  SOPS_ENCRYPTED: it has a `sops` entry already; SOPS_FORMAT; SOPS_METADATA
 */
MUST_USE bool sops_file_new(const struct sops_source *plain, const struct sops_creation *creation,
	struct sops_file **file_out, enum sops_failure *failure_out, struct error *err);
/** Wipes. */
void sops_file_free(struct sops_file *file);
DEFINE_CLEANUP(struct sops_file, sops_file_free)
#define auto_sops_file CLEANUP(sops_file_free_at)

/** Append the plain file, byte for byte what sops prints; @p out should be BUF_INIT_SECRET.
 *  ERR_INVALID where the format cannot hold it (a map in dotenv). */
MUST_USE bool sops_file_print(const struct sops_file *file, const struct sops_printing *printing,
	struct buf *out, struct error *err);
/** Append the value at a path like `["a"]["b"][0]`: a string as it is, without line end. */
MUST_USE bool sops_file_extract(const struct sops_file *file, const char *path,
	const struct sops_printing *printing, struct buf *out, struct error *err);

/** Set the value at a path to a JSON value; an index past the end of a list appends.
 *  @param changed_out  false: it was the same already */
MUST_USE bool sops_file_set(struct sops_file *file, const char *path, struct sops_text json,
	bool *changed_out, struct error *err);
/** Remove a key or list item. ERR_NOT_FOUND. */
MUST_USE bool sops_file_unset(struct sops_file *file, const char *path, struct error *err);
/** Take an edited plain text of the file's own format in place of its values and comments.
 *  Nothing changes if it does not parse. @param changed_out  false: same values and comments */
MUST_USE bool sops_file_edit(
	struct sops_file *file, struct sops_text text, bool *changed_out, struct error *err);
/** New data key for the present recipients plus @p add (into the first group) minus @p remove (of
 *  all groups). ERR_INVALID if a group would be empty, ERR_REFUSED if there are keys that cannot
 *  be wrapped for here (pgp, cloud). */
MUST_USE bool sops_file_rotate(struct sops_file *file, const struct strlist *add,
	const struct strlist *remove, struct error *err);
/** Wrap the same data key for other recipients; values, MAC and rule stay.
 *  @param threshold    0: the file's own
 *  @param changed_out  false: groups and threshold are the same already */
MUST_USE bool sops_file_update_keys(struct sops_file *file, const struct sops_creation *creation,
	unsigned threshold, bool *changed_out, struct error *err);

/** Append the encrypted file. It was read back, decrypted with the data key and
 *  compared. */
MUST_USE bool sops_file_write(struct sops_file *file, const struct sops_printing *printing,
	struct buf *out, struct error *err);
/** sops_file_write() into a file, which is replaced atomically and keeps its mode; a new one gets
 *  0644, as nothing in it is secret. */
MUST_USE bool sops_file_save(struct sops_file *file, const char *path,
	const struct sops_printing *printing, struct error *err);

/** Recipients per group, as the file has them; owned by the file. */
const struct sops_creation *sops_file_keys(const struct sops_file *file);
/** Plain values without `sops`, as sops_decrypt_documents() gives them, in @p arena. */
const struct node *sops_file_values(const struct sops_file *file, struct arena *arena);
enum sops_format sops_file_format(const struct sops_file *file);
