#include "base/ssh_private.h"

/* ---- a command ----------------------------------------------------------------------------- */

bool ssh_exec_start(struct ssh *self, const char *command, struct error *err)
{
	int rc;

	ssh_free_channel(self);
	buf_truncate(&self->errors, 0);
	self->errors.overflow = false;
	deadline_progress(&self->deadline);
	while (!(self->channel = libssh2_channel_open_session(self->session))) {
		rc = libssh2_session_last_errno(self->session);
		if (rc != LIBSSH2_ERROR_EAGAIN || !ssh_wait(self, err))
			return ssh_failed(self, rc, err);
	}
	SSH_CALL(self, rc, libssh2_channel_exec(self->channel, command), err);
	return rc == 0 || ssh_failed(self, rc, err);
}

/* What does not fit is dropped, but read: a full window would stop the command. */
static bool drain_stderr(struct ssh *self, struct error *err)
{
	char chunk[4096];
	ssize_t got;

	while ((got = libssh2_channel_read_stderr(self->channel, chunk, sizeof(chunk))) > 0) {
		buf_add(&self->errors, chunk, (size_t)got);
		deadline_progress(&self->deadline);
	}
	return got == 0 || got == LIBSSH2_ERROR_EAGAIN || ssh_failed(self, got, err);
}

bool ssh_read(struct ssh *self, void *bytes, size_t size, size_t *got_out, struct error *err)
{
	deadline_progress(&self->deadline); /* the caller may have been busy meanwhile */
	while (true) {
		if (!drain_stderr(self, err))
			return false;
		ssize_t got = libssh2_channel_read(self->channel, bytes, size);
		if (got > 0 || (got == 0 && libssh2_channel_eof(self->channel))) {
			deadline_progress(&self->deadline);
			*got_out = (size_t)got;
			return true;
		}
		if (got < 0 && got != LIBSSH2_ERROR_EAGAIN)
			return ssh_failed(self, got, err);
		if (!ssh_wait(self, err))
			return false;
	}
}

bool ssh_write(struct ssh *self, const void *bytes, size_t len, struct error *err)
{
	const char *at = bytes;

	deadline_progress(&self->deadline);
	while (len) {
		ssize_t put = libssh2_channel_write(self->channel, at, len);
		if (put > 0) {
			at += put;
			len -= (size_t)put;
			deadline_progress(&self->deadline);
			continue;
		}
		if (put < 0 && put != LIBSSH2_ERROR_EAGAIN)
			return ssh_failed(self, put, err);
		if (!drain_stderr(self, err) || !ssh_wait(self, err))
			return false;
	}
	return true;
}

bool ssh_write_end(struct ssh *self, struct error *err)
{
	int rc;
	SSH_CALL(self, rc, libssh2_channel_send_eof(self->channel), err);
	return rc == 0 || ssh_failed(self, rc, err);
}

bool ssh_exec_finish(struct ssh *self, struct ssh_result *result_out, struct error *err)
{
	struct ssh_result result = {0};
	char chunk[4096];
	char *name = NULL;
	size_t got = 1, name_len = 0;
	int rc;

	if (!ssh_write_end(self, err))
		return false;
	while (got > 0) {
		if (!ssh_read(self, chunk, sizeof(chunk), &got, err))
			return false;
	}
	SSH_CALL(self, rc, libssh2_channel_close(self->channel), err);
	if (rc == 0)
		SSH_CALL(self, rc, libssh2_channel_wait_closed(self->channel), err);
	if (rc < 0)
		return ssh_failed(self, rc, err);
	/* first: after a signal get_exit_status says 0 */
	rc = libssh2_channel_get_exit_signal(
		self->channel, &name, &name_len, NULL, NULL, NULL, NULL);
	if (rc == 0 && name) {
		(void)snprintf(result.signal, sizeof(result.signal), "%.*s", (int)name_len, name);
		libssh2_free(self->session, name);
	}
	result.exit_status = libssh2_channel_get_exit_status(self->channel);
	*result_out = result;
	return true;
}

const struct buf *ssh_stderr(const struct ssh *self)
{
	return &self->errors;
}

/* ---- without waiting ------------------------------------------------------------------------ */

/* Names the host, and sees a sign of life. */
static enum ssh_step of_program(struct ssh *self, enum ssh_step step, struct error *err)
{
	if (step == SSH_FAILED)
		(void)error_wrap(err, "%s", self->peer); /* returns false */
	else if (step == SSH_DONE)
		deadline_progress(&self->deadline);
	return step;
}

enum ssh_step ssh_exec_step(struct ssh *self, const char *command, struct error *err)
{
	int rc;

	if (self->program_argv) {
		deadline_progress(&self->deadline);
		return ssh_program_start(self->program_argv, command, &self->program, err)
			       ? SSH_DONE
			       : SSH_FAILED;
	}
	if (!self->channel) {
		self->channel = libssh2_channel_open_session(self->session);
		rc = self->channel ? 0 : libssh2_session_last_errno(self->session);
		if (rc)
			return SSH_STEP_OF(self, rc, err);
		deadline_progress(&self->deadline);
	}
	rc = libssh2_channel_exec(self->channel, command);
	return SSH_STEP_OF(self, rc, err);
}

enum ssh_step ssh_read_step(
	struct ssh *self, enum ssh_stream stream, struct ssh_chunk *chunk, struct error *err)
{
	int id = stream == SSH_STDERR ? SSH_EXTENDED_DATA_STDERR : 0;
	if (self->program)
		return of_program(self, ssh_program_read(self->program, stream, chunk, err), err);
	ssize_t got =
		libssh2_channel_read_ex(self->channel, id, chunk->bytes, sizeof(chunk->bytes));

	if (got == 0 && !libssh2_channel_eof(self->channel))
		return SSH_WAIT; /* the other stream has something */
	if (got < 0)
		return SSH_STEP_OF(self, got, err);
	if (got > 0)
		deadline_progress(&self->deadline);
	chunk->len = (size_t)got;
	return SSH_DONE;
}

enum ssh_step ssh_write_step(
	struct ssh *self, const void *bytes, size_t len, size_t *put_out, struct error *err)
{
	if (self->program)
		return of_program(
			self, ssh_program_write(self->program, bytes, len, put_out, err), err);
	ssize_t put = libssh2_channel_write(self->channel, bytes, len);

	if (put < 0)
		return SSH_STEP_OF(self, put, err);
	if (put > 0)
		deadline_progress(&self->deadline);
	*put_out = (size_t)put;
	return put ? SSH_DONE : SSH_WAIT;
}

enum ssh_step ssh_write_end_step(struct ssh *self, struct error *err)
{
	if (self->program)
		return of_program(self, ssh_program_write_end(self->program, err), err);
	int rc = libssh2_channel_send_eof(self->channel);
	return SSH_STEP_OF(self, rc, err);
}
