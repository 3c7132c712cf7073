#include "server/server.h"

#include <string.h>
#include <unistd.h>

#include "server/http.h"
#include "server/log.h"
#include "server/recall.h"
#include "server/tune.h"

static int
files_read(const struct server_options *options, struct config *config,
    bool has_runtime, config_report_fn report, void *arg)
{
	int n_errors = 0;
	if (options->n_config_paths == 0 && !options->is_default_config_off)
		return has_runtime ? config_read_default(config, report, arg)
				   : config_read_admin(config, report, arg);
	for (size_t i = 0; i < options->n_config_paths; i++)
		if (has_runtime || !config_is_runtime(options->config_paths[i]))
			n_errors += config_read_file(
			    config, options->config_paths[i], report, arg);
	return n_errors;
}

static int
config_make(const struct server_options *options, struct config *config,
    bool has_runtime, config_report_fn report, void *arg)
{
	char reason[CONFIG_REASON_LEN];
	config_init(config);
	int n_errors = files_read(options, config, has_runtime, report, arg);
	for (size_t i = 0; i < options->n_assignments; i++) {
		if (config_assign(config, options->assignments[i], reason) == 0)
			continue;
		report(arg, "argument", reason);
		n_errors++;
	}
	if (n_errors == 0)
		n_errors = config_check(config, report, arg);
	return n_errors;
}

int
server_configure(const struct server_options *options, struct config *config,
    config_report_fn report, void *arg)
{
	return config_make(options, config, true, report, arg);
}

static const char *
runtime_path(const struct server_options *options)
{
	if (options->n_config_paths == 0 && !options->is_default_config_off)
		return CONFIG_DIR_DEFAULT "/" CONFIG_FILE_RUNTIME;
	for (size_t i = options->n_config_paths; i-- > 0;)
		if (config_is_runtime(options->config_paths[i]))
			return options->config_paths[i];
	return NULL;
}

int
server_configure_admin(const struct server_options *options,
    struct config *config, const char **ret_path, config_report_fn report,
    void *arg)
{
	*ret_path = runtime_path(options);
	return config_make(options, config, false, report, arg);
}

void
server_report_log(void *arg, const char *where, const char *reason)
{
	(void)arg;
	log_error("%s: %s", where, reason);
}

void
server_report_nothing(void *arg, const char *where, const char *reason)
{
	(void)arg;
	(void)where;
	(void)reason;
}

void
server_policy(const struct config *config, struct peer_policy *ret_policy)
{
	uint64_t admin = config_number(config, NULL, CONFIG_ADMIN_GROUP);
	uint64_t monitor = config_number(config, NULL, CONFIG_MONITOR_GROUP);
	ret_policy->uid = geteuid();
	ret_policy->admin_group =
	    admin == CONFIG_NOBODY ? PEER_NO_GROUP : (gid_t)admin;
	ret_policy->monitor_group =
	    monitor == CONFIG_NOBODY ? PEER_ANY_GROUP : (gid_t)monitor;
}

int
server_config_open(struct server *server, const struct kept_list *kept)
{
	struct config *config = &server->config;
	if (server_configure(
		server->options, config, server_report_log, NULL) == 0)
		return 0;
	config_release(config);
	if (recall_number(kept) == 0)
		return SHM_EINVAL;
	log_error("the configuration has errors and was not applied; going on "
		  "with the one that the daemon before had");
	return recall_get(kept, config, server_report_log, NULL);
}

int
server_log_configure(const struct config *config)
{
	log_set_level(
	    (enum log_level)config_number(config, NULL, CONFIG_LOG_LEVEL));
	log_set_format(
	    (enum log_format)config_number(config, NULL, CONFIG_LOG_FORMAT));
	return log_open(config_text(config, CONFIG_LOG_FILE));
}

/* Keys that only a new start, or a new segment, can change. */
static void
restart_keys_log(const struct server *server, const struct config *after)
{
	static const enum config_key keys[] = { CONFIG_RESERVE, CONFIG_MODE,
		CONFIG_OWNER, CONFIG_GROUP, CONFIG_ADMIN_GROUP,
		CONFIG_MONITOR_GROUP, CONFIG_MAX_CONNECTIONS, CONFIG_PRIORITY };
	const struct config *before = &server->config;
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
		if (config_number(before, NULL, keys[i]) !=
		    config_number(after, NULL, keys[i]))
			log_warn("%s changed; restart the daemon for it",
			    config_keys[keys[i]].info.name);
	const char *was = config_text(before, CONFIG_SOCKET);
	const char *is = config_text(after, CONFIG_SOCKET);
	if (strcmp(was != NULL ? was : "", is != NULL ? is : "") != 0)
		log_warn("socket changed; restart the daemon for it");
}

void
server_reload(struct server *server)
{
	struct config config;
	struct segment *segment;
	if (server_configure(
		server->options, &config, server_report_log, NULL) != 0) {
		log_error("the configuration has errors and was not applied; "
			  "correct it and send SIGHUP again");
		config_release(&config);
		return;
	}
	if (server_log_configure(&config) != 0)
		log_error("the log stays where it is");
	restart_keys_log(server, &config);
	TAILQ_FOREACH(segment, &server->segments, link)
	{
		tune_reconfigure(segment, &server->config, &config);
		store_evict(&server->store, segment);
	}
	struct config before = server->config;
	server->config = config;
	config_release(&before);
	http_reload(server);
	recall_put(server);
	if (segment_create_configured(server, &server->config) != 0)
		log_error("not all configured segments could be made");
	log_info("the configuration was read again");
}
