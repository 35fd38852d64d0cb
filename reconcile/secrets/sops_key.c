/* The data key: the first entry of a group that any identity opens; of several groups each gives a
 * share (specs/sops-age.md 2.4). */
#include "base/buf.h"
#include "reconcile/secrets/age.h"
#include "reconcile/secrets/shamir.h"
#include "reconcile/secrets/sops_metadata.h"
#include <sodium.h>

#define SHARE_SIZE  (SOPS_KEY_SIZE + 1)
#define REASONS_MAX 600 /* of the message's 768 bytes */

struct search {
	const struct age_identities *identities;
	size_t want; /* bytes of what an entry holds: key or share */
	struct buf reasons;
	size_t left_out; /* reasons that did not fit */
	size_t failed, unsupported;
};

static void add_reason(struct search *search, const char *recipient, const char *reason)
{
	auto_buf struct buf line = BUF_INIT(512);
	buf_add_clean(&line, recipient, strlen(recipient) > 70 ? 70 : strlen(recipient));
	buf_addf(&line, "%s: %s", *recipient ? "" : "entry without recipient", reason);
	if (search->reasons.len + line.len + 2 > REASONS_MAX)
		search->left_out++;
	else
		buf_addf(&search->reasons, "%s%s", search->reasons.len ? "; " : "", line.text);
}

/* A plugin's name stands in its recipient: age1NAME1... */
static bool needs_plugin(const char *recipient, struct error *err)
{
	const char *name = strncmp(recipient, "age1", 4) == 0 ? recipient + 4 : "";
	const char *end = strchr(name, '1');
	if (!end || strncmp(name, "pq1", 3) == 0)
		return false;
	error_set(err, ERR_REFUSED, "needs the age plugin %.*s, which is not supported",
		(int)(end - name > 40 ? 40 : end - name), name);
	return true;
}

static bool open_entry(struct search *search, const struct sops_age_entry *entry, uint8_t *out)
{
	auto_buf struct buf plain = BUF_INIT_SECRET(entry->enc_len);
	enum age_failure failure;
	struct error err;
	const struct age_file file = {entry->enc, entry->enc_len, .armored = true};
	bool ok = age_decrypt(&file, search->identities, &plain, &failure, &err);
	if (ok && plain.len != search->want)
		ok = error_set(&err, ERR_INVALID, "data key has %zu bytes instead of %zu",
			plain.len, search->want);
	if (ok) {
		memcpy(out, plain.text, search->want);
		return true;
	}
	search->failed++;
	search->unsupported += failure == AGE_UNSUPPORTED;
	if (failure == AGE_NO_MATCH)
		(void)needs_plugin(entry->recipient, &err); /* it only sharpens the message */
	add_reason(search, entry->recipient, err.message);
	return false;
}

static bool open_group(struct search *search, const struct sops_group *group, uint8_t *out)
{
	for (size_t i = 0; i < group->age_count; i++) {
		if (open_entry(search, &group->age[i], out))
			return true;
	}
	if (group->other_count) {
		search->failed++;
		add_reason(search, group->other_kind, "keys of this kind are not supported");
	}
	return false;
}

static bool refuse(const struct search *search, size_t groups, size_t opened,
	enum sops_failure *failure_out, struct error *err)
{
	bool unsupported = search->failed && search->unsupported == search->failed;
	auto_buf struct buf rest = BUF_INIT(64);
	*failure_out = unsupported ? SOPS_UNSUPPORTED : SOPS_NO_KEY;
	if (search->left_out)
		buf_addf(&rest, " (and %zu more)", search->left_out);
	if (groups > 1)
		return error_set(err, ERR_AUTH, "only %zu of %zu key groups opened: %s%s", opened,
			groups, search->reasons.text, rest.text);
	error_set(err, ERR_AUTH, "no identity opens it: %s%s", search->reasons.text, rest.text);
	return age_identities_count(search->identities)
		       ? false
		       : error_hint(err, "set age_key_file, SOPS_AGE_KEY_FILE or SOPS_AGE_KEY");
}

static bool combine(const uint8_t (*opened)[SHARE_SIZE], size_t count, uint8_t *key_out,
	enum sops_failure *failure_out, struct error *err)
{
	struct shamir_share shares[SHAMIR_MAX_SHARES];
	for (size_t i = 0; i < count; i++)
		shares[i].bytes = opened[i];
	*failure_out = SOPS_NO_KEY;
	return shamir_combine(shares, count, SOPS_KEY_SIZE, key_out, err);
}

static bool unlock_groups(struct search *search, const struct sops_metadata *metadata,
	uint8_t *key_out, enum sops_failure *failure_out, struct error *err)
{
	uint8_t opened[SHAMIR_MAX_SHARES][SHARE_SIZE];
	size_t count = 0;
	search->want = SHARE_SIZE;
	for (size_t i = 0; i < metadata->group_count && count < SHAMIR_MAX_SHARES; i++)
		count += open_group(search, &metadata->groups[i], opened[count]);
	bool enough = count >= 2 && count >= (size_t)metadata->shamir_threshold;
	bool ok = enough ? combine(opened, count, key_out, failure_out, err)
			 : refuse(search, metadata->group_count, count, failure_out, err);
	sodium_memzero(opened, sizeof(opened));
	return ok;
}

bool sops_metadata_unlock(const struct sops_metadata *metadata, const struct keyring *keyring,
	uint8_t key_out[SOPS_KEY_SIZE], enum sops_failure *failure_out, struct error *err)
{
	struct search search = {
		.identities = keyring_identities(keyring),
		.want = SOPS_KEY_SIZE,
		.reasons = BUF_INIT(REASONS_MAX),
	};
	bool ok;
	if (metadata->group_count > 1)
		ok = unlock_groups(&search, metadata, key_out, failure_out, err);
	else
		ok = open_group(&search, &metadata->groups[0], key_out) ||
		     refuse(&search, 1, 0, failure_out, err);
	buf_clear(&search.reasons);
	if (!ok)
		(void)error_at(err, metadata->node->file, metadata->node->line); /* false */
	return ok;
}
