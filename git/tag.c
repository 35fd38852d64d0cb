#include "git/tag.h"
#include "git/repo_priv.h"

#define TAG_MAX ((size_t)1 << 20)

void tag_info_clear(struct tag_info *info)
{
	free(info->name);
	free(info->tagger);
	free(info->message);
	buf_clear(&info->covered);
	buf_clear(&info->signature);
	*info = (struct tag_info){0};
}

/* Value of a header line, NULL if it is not there; the headers end at the first empty line. */
static char *header_of(const char *text, const char *name)
{
	size_t width = strlen(name);
	while (*text && *text != '\n') {
		size_t len = strcspn(text, "\n");
		if (len > width && !strncmp(text, name, width) && text[width] == ' ')
			return mem_printf("%.*s", (int)(len - width - 1), text + width + 1);
		text += len + (text[len] == '\n');
	}
	return NULL;
}

/* "Name <mail> 1700000000 +0100" */
static bool split_tagger(struct tag_info *info)
{
	char *end = info->tagger ? strrchr(info->tagger, '>') : NULL;
	if (!end || end[1] != ' ')
		return false;
	info->wall_s = strtoll(end + 2, NULL, 10);
	end[1] = '\0';
	return info->wall_s > 0;
}

/* The signature stands at the end of the message and covers all before it. */
static const char *find_signature(const char *text)
{
	static const char *const begins[] = {
		"\n-----BEGIN SSH SIGNATURE-----\n", "\n-----BEGIN PGP SIGNATURE-----\n"};
	const char *last = NULL;
	for (size_t i = 0; i < ARRAY_LEN(begins); i++)
		for (const char *at = text; (at = strstr(at, begins[i])); at++)
			last = !last || at > last ? at : last;
	return last ? last + 1 : NULL;
}

static bool parse(const char *text, struct tag_info *info, struct error *err)
{
	const char *signature = find_signature(text);
	const char *end = signature ? signature : text + strlen(text);
	const char *blank = strstr(text, "\n\n");
	info->name = header_of(text, "tag");
	info->tagger = header_of(text, "tagger");
	if (!info->name || !blank || blank + 2 > end || !split_tagger(info))
		return error_set(err, ERR_INVALID, "it is no annotated tag with a tagger");
	buf_add(&info->covered, text, (size_t)(end - text));
	buf_add_str(&info->signature, end);
	info->message = mem_printf("%.*s", (int)(end - blank - 2), blank + 2);
	return true;
}

bool tag_read(struct repo *repo, const struct oid *id, struct tag_info *info_out, struct error *err)
{
	auto_git(git_odb) *odb = NULL;
	auto_git(git_odb_object) *object = NULL;
	git_oid git_id;
	*info_out = (struct tag_info){.covered = BUF_INIT(TAG_MAX), .signature = BUF_INIT(TAG_MAX)};
	oid_to_git(id, &git_id);
	int rc = git_repository_odb(&odb, repo->git);
	if (!rc)
		rc = git_odb_read(&object, odb, &git_id);
	if (rc)
		return repo_fail(err, rc, "tag %s", id->hex);
	size_t len = git_odb_object_size(object);
	if (git_odb_object_type(object) != GIT_OBJECT_TAG)
		return error_set(err, ERR_INVALID, "it is no annotated tag: make it with -a or -s");
	if (len > TAG_MAX || memchr(git_odb_object_data(object), '\0', len))
		return error_set(err, ERR_INVALID, "it is too large, or holds a NUL byte");
	auto_free char *text =
		mem_printf("%.*s", (int)len, (const char *)git_odb_object_data(object));
	return parse(text, info_out, err);
}
