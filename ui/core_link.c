/* Requests to the core, and what comes back. */
#include <stdio.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "ui/screen_curses.h"
#include "ui/ui_state.h"

/* ---- requests ---- */

/* Requests that carry a secret leave nothing of it behind. */
static bool is_secret(const char *cmd)
{
    return strcmp(cmd, "init") == 0 || strcmp(cmd, "keys_phrase") == 0 || strcmp(cmd, "unlock") == 0;
}

static void wipe_members(cJSON *o)
{
    cJSON *member;

    cJSON_ArrayForEach(member, o)
    {
        if (cJSON_IsString(member))
            mem_wipe(member->valuestring, strlen(member->valuestring));
    }
}

void ui_ask_take(struct ui *ui, const char *cmd, cJSON *request)
{
    struct pending *p = &ui->pending[ui->next_id % UI_PENDING_MAX];
    cJSON *whole = cJSON_CreateObject();
    const cJSON *first = NULL, *each;
    char *text;

    memset(p, 0, sizeof *p);
    p->id = ui->next_id++;
    snprintf(p->cmd, sizeof p->cmd, "%s", cmd);
    cJSON_ArrayForEach(each, request)
    {
        if (first == NULL && cJSON_IsString(each))
            first = each;
    }
    if (first != NULL && !is_secret(cmd))
        snprintf(p->text, sizeof p->text, "%s", first->valuestring);
    cJSON_AddNumberToObject(whole, "id", (double)p->id);
    cJSON_AddStringToObject(whole, "cmd", cmd);
    while (request != NULL && request->child != NULL) {
        cJSON *member = cJSON_DetachItemViaPointer(request, request->child);

        cJSON_AddItemToObject(whole, member->string, member);
    }
    cJSON_Delete(request);
    text = json_print(whole);
    if (is_secret(cmd))
        wipe_members(whole);
    cJSON_Delete(whole);
    if (ui->config.core.request != NULL)
        ui->config.core.request(ui->config.core.arg, text);
    if (is_secret(cmd))
        mem_wipe(text, strlen(text));
    mem_free(text);
}

void ui_ask(struct ui *ui, const char *cmd)
{
    ui_ask_take(ui, cmd, NULL);
}

void ui_ask_text(struct ui *ui, const char *cmd, const char *key, const char *text)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddStringToObject(o, key, text);
    ui_ask_take(ui, cmd, o);
}

void ui_ask_number(struct ui *ui, const char *cmd, const char *key, int64_t n)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddNumberToObject(o, key, (double)n);
    ui_ask_take(ui, cmd, o);
}

void ui_ask_bool(struct ui *ui, const char *cmd, const char *key, bool on)
{
    cJSON *o = cJSON_CreateObject();

    cJSON_AddBoolToObject(o, key, on);
    ui_ask_take(ui, cmd, o);
}

/* ---- answers ---- */

/* What follows the answer "ok" to a command: which list is asked again, and what is said ($: its argument). */
static const struct {
    const char *cmd, *reload, *says;
} follows[] = {
    {"contacts_add", "contacts", "Added; request sent. You can call once they allow you."},
    {"contacts_allow", "contacts", "Allowed. u undoes it for 10 s."},
    {"contacts_block", "contacts", "Blocked. u undoes it for 10 s."},
    {"contacts_remove", "contacts", "Removed. u undoes it for 10 s."},
    {"contacts_rename", "contacts", "Renamed."},
    {"contacts_undo", "contacts", "Undone."},
    {"contacts_import", "contacts", NULL},
    {"requests_allow", "requests", "Allowed. They may ring you now."},
    {"requests_block", "requests", "Blocked."},
    {"requests_delete", "requests", "Deleted."},
    {"requests_send", "requests", "Request sent. You can call once they allow you."},
    {"verify", "contacts", "Verified."},
    {"peer_add", "status", "Peer added."},
    {"relay", "status", NULL},
    {"drain", "status", NULL},
    {"relays_never", "relays", "This relay will not be used again."},
    {"config_set", "config_show", "Saved."},
    {"history_delete", "history", "Deleted."},
    {"voicemail_delete", "voicemail", "Deleted."},
    {"message", "messages", NULL},
    {"notify", NULL, "You will be told."},
    {"mute", NULL, NULL},
};

/* Answers made of words: shown in a box. */
static bool is_shown(const char *cmd)
{
    static const char *const cmds[] = {"doctor",      "invite",      "config_get",      "config_check",
                                       "devices",     "keys_export", "contacts_export", "status_show",
                                       "keys_import", "net_test",    "voicemail_save"};

    for (size_t i = 0; i < sizeof cmds / sizeof *cmds; i++) {
        if (strcmp(cmd, cmds[i]) == 0)
            return true;
    }
    return false;
}

static void append(char **text, const char *line)
{
    char *longer = mem_printf("%s%s\n", *text, line);

    mem_free(*text);
    *text = longer;
}

/* The lines of a doctor answer: "warn  nat  text", and the next step below. */
static void show_checks(struct ui *ui, const cJSON *checks)
{
    char *text = mem_str(""), *line;
    const cJSON *c;

    cJSON_ArrayForEach(c, checks)
    {
        const char *next = json_str(c, "next", "");

        line = mem_printf("%-4s  %-10s %s", json_str(c, "result", "?"), json_str(c, "name", ""),
                          json_str(c, "text", ""));
        append(&text, line);
        mem_free(line);
        if (next[0] == '\0')
            continue;
        line = mem_printf("                 %s", next);
        append(&text, line);
        mem_free(line);
    }
    ui_popup(ui, "Doctor", text);
    mem_free(text);
}

/* The members of an answer as lines "name   value", for answers without words of their own. */
static void show_members(struct ui *ui, const char *title, const cJSON *answer)
{
    char *text = mem_str("");
    const cJSON *m;

    cJSON_ArrayForEach(m, answer)
    {
        char *value, *line;

        if (strcmp(m->string, "id") == 0 || strcmp(m->string, "ok") == 0 || strcmp(m->string, "v") == 0)
            continue;
        value = cJSON_IsString(m) ? mem_str(m->valuestring) : cJSON_PrintUnformatted(m);
        line = mem_printf("%-12s %s", m->string, value != NULL ? value : "");
        append(&text, line);
        mem_free(line);
        cJSON_free(value);
    }
    ui_popup(ui, title, text);
    mem_free(text);
}

/* Asked in passing: a refusal is nothing for a person. */
static bool is_quiet(const char *cmd)
{
    return strcmp(cmd, "history_seen") == 0 || strcmp(cmd, "log") == 0 || strcmp(cmd, "audio_test") == 0;
}

/* "audio.bitrate: 500000 is out of range (6000 to 128000). Kept 32000." */
static void say_kept(struct ui *ui, const char *key, char *text, ns_t now)
{
    size_t n_settings, n = strlen(text);
    const struct model_setting *settings = model_settings(ui->model, &n_settings);

    if (n > 0 && text[n - 1] == '.')
        text[n - 1] = '\0';
    for (size_t i = 0; i < n_settings; i++) {
        if (strcmp(settings[i].key, key) == 0)
            ui_notice(ui, now, "%s. Kept %s.", text, settings[i].value);
    }
}

/* The line of an ID again, with the caret on the character that is probably wrong: a sentence about a typing error
 * has two lines more, the ID as it was read and a mark below. */
static void mend_id(struct ui *ui, const struct pending *p, const char *words, ns_t now)
{
    const char *id = strchr(words, '\n'), *marks = id != NULL ? strchr(id + 1, '\n') : NULL;
    const char *typed = strncmp(ui->prompt.kept, p->text, strlen(p->text)) == 0 ? ui->prompt.kept : p->text;
    char text[LINEEDIT_BYTES];

    snprintf(text, sizeof text, "%s", typed);
    if (marks != NULL)
        snprintf(text, sizeof text, "%.*s", (int)(marks - id - 1), id + 1);
    ui_prompt(ui, PROMPT_ADD_ID, "ID: ", "", text);
    if (marks == NULL)
        return;
    ui_notice(ui, now, "%.*s", (int)(id - words), words);
    ui->prompt.edit.caret = strcspn(marks + 1, "^");
}

static void answer_refused(struct ui *ui, const struct pending *p, const cJSON *answer, ns_t now)
{
    char text[MODEL_TEXT_BYTES * 2];
    const char *words = json_str(answer, "text", ""), *token = json_str(answer, "error", "internal");

    if (is_quiet(p->cmd))
        return;
    if (words[0] == '\0')
        words = token;
    utf8_clean(words, strlen(words), text, sizeof text);
    ui_notice(ui, now, "%s", text);
    if ((strcmp(p->cmd, "contacts_add") == 0 && ui->prompt.kind == PROMPT_NONE) ||
        (strcmp(p->cmd, "contacts_check") == 0 && ui->prompt.kind == PROMPT_ADD_NAME))
        mend_id(ui, p, json_str(answer, "text", ""), now);
    if (strcmp(p->cmd, "config_set") == 0)
        say_kept(ui, p->text, text, now);
}

static void save_export(struct ui *ui, const char *path, const char *text, ns_t now)
{
    struct err_detail detail = {{0}};

    if (ui->config.write_file == NULL)
        ui_popup(ui, "Contacts", text);
    else if (ui->config.write_file(path, text, &detail) == ERR_OK)
        ui_notice(ui, now, "Saved as %s.", path);
    else
        ui_notice(ui, now, "%s", detail.text);
}

static void answer_taken(struct ui *ui, const struct pending *p, const cJSON *answer, ns_t now)
{
    const char *words = json_str(answer, "text", "");
    char text[MODEL_TEXT_BYTES * 2];

    utf8_clean(words, strlen(words), text, sizeof text);
    for (size_t i = 0; i < sizeof follows / sizeof *follows; i++) {
        if (strcmp(p->cmd, follows[i].cmd) != 0)
            continue;
        if (follows[i].reload != NULL)
            ui_ask(ui, follows[i].reload);
        if (strncmp(p->cmd, "requests_", 9) == 0)
            ui_ask(ui, "contacts");
        if (strcmp(p->cmd, "config_set") == 0)
            ui->views.settings_changed++;
        if (strncmp(p->cmd, "contacts_", 9) == 0)
            ui->undo_until = now + 10 * NS_PER_S;
        if (text[0] == '\0' && follows[i].says != NULL)
            ui_notice(ui, now, "%s", follows[i].says);
    }
    if (strcmp(p->cmd, "contacts_export") == 0 && p->text[0] != '\0')
        save_export(ui, p->text, words, now);
    else if (strcmp(p->cmd, "contacts_import") == 0)
        ui_notice(ui, now, "added %d, changed %d, same %d, bad %d", (int)json_num(answer, "added", 0),
                  (int)json_num(answer, "changed", 0), (int)json_num(answer, "same", 0),
                  (int)json_num(answer, "bad", 0));
    else if (cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(answer, "checks")))
        show_checks(ui, cJSON_GetObjectItemCaseSensitive(answer, "checks"));
    else if (is_shown(p->cmd) && text[0] == '\0')
        show_members(ui, p->cmd, answer);
    else if (is_shown(p->cmd))
        ui_popup(ui, p->cmd, words);
    else if (text[0] != '\0')
        ui_notice(ui, now, "%s", text);
}

void ui_answer(struct ui *ui, const char *json, ns_t now)
{
    cJSON *answer = cJSON_Parse(json);
    int64_t id = (int64_t)json_num(answer, "id", 0);
    struct pending *slot = &ui->pending[id > 0 ? id % UI_PENDING_MAX : 0], p = *slot;

    if (id > 0 && p.id == id) {
        memset(slot, 0, sizeof *slot);
        ui->is_dirty = true;
        if (!json_bool(answer, "ok", false)) {
            answer_refused(ui, &p, answer, now);
        } else if (model_answer(ui->model, p.cmd, answer) == ERR_OK) {
            if (strcmp(p.cmd, "log") == 0)
                log_answer(ui, answer);
            else
                answer_taken(ui, &p, answer, now);
        }
        if (ui->view == VIEW_FIRSTRUN)
            firstrun_answer(ui, p.cmd, answer, now);
    }
    cJSON_Delete(answer);
}

/* ---- events ---- */

static void clock_set(struct ui *ui, int64_t call_id, ns_t now)
{
    struct call_clock *oldest = &ui->clocks[0];

    for (size_t i = 0; i < MODEL_CALLS_MAX; i++) {
        if (ui->clocks[i].call_id == call_id) {
            ui->clocks[i].state_at = now;
            return;
        }
        if (ui->clocks[i].state_at < oldest->state_at)
            oldest = &ui->clocks[i];
    }
    *oldest = (struct call_clock){call_id, now};
}

/* These ends need no next step: the screen before comes back by itself. */
static bool ends_quietly(const char *cause)
{
    return strncmp(cause, "hangup", 6) == 0 || strcmp(cause, "cancelled") == 0;
}

static void call_ended(struct ui *ui, const struct model_call *c, enum model_state before, ns_t now)
{
    const struct model_contact *contact = model_contact_by_id(ui->model, c->peer);
    struct words_time time = ui_time(ui);
    char words[WORDS_BYTES];
    const char *next = words_next_step(c->cause);
    bool is_shown_now = ui->view == VIEW_CALL && ui_running_call(ui) == NULL;

    words_cause(c, contact, &time, words);
    if (before == STATE_INCOMING && !c->is_outgoing && strncmp(c->cause, "hangup", 6) != 0 &&
        strcmp(c->cause, "declined") != 0)
        ui_notice(ui, now, "Missed call from %s. 3 shows the calls.", words_peer(c, words));
    else if (next[0] != '\0')
        ui_notice(ui, now, "%s  %s", words, next);
    else
        ui_notice(ui, now, "%s", words);
    ui->end_told_until = ui->notice_until;
    ui->ended_id = ends_quietly(c->cause) ? 0 : c->id;
    if (is_shown_now && ends_quietly(c->cause)) {
        ui_show(ui, ui->view_before, now);
    } else if (is_shown_now) {
        ui->notice[0] = '\0'; /* the screen says it */
        ui_show(ui, VIEW_ENDED, now);
    }
    ui_ask(ui, "history");
    ui_ask(ui, "contacts");
}

static void event_call(struct ui *ui, const struct model_change *change, ns_t now)
{
    const struct model_call *c = change->call;
    bool was_direct = strncmp(change->path_before, "direct", 6) == 0, is_direct;

    if (c == NULL)
        return;
    is_direct = strncmp(c->path, "direct", 6) == 0;
    if (c->state != change->state_before)
        clock_set(ui, c->id, now);
    if (c->state == STATE_ENDED) {
        call_ended(ui, c, change->state_before, now);
        return;
    }
    if (c->state == STATE_INCOMING && change->state_before == STATE_NONE && strcmp(ui->bell, "off") != 0 &&
        ui->term != NULL)
        term_bell(ui->term);
    if (c->state != STATE_INCOMING &&
        (change->state_before == STATE_NONE || change->state_before == STATE_INCOMING)) {
        ui->ended_id = 0;
        ui->views.shown_at = 0;
        popup_close(ui);
        ui_show(ui, VIEW_CALL, now);
    }
    if (change->path_before[0] != '\0' && strcmp(change->path_before, "checking") != 0 &&
        was_direct != is_direct)
        ui_notice(ui, now, "Path changed: now %s.", words_path_short(c->path));
}

static void bell_for_all(struct ui *ui)
{
    if (strcmp(ui->bell, "all") == 0 && ui->term != NULL)
        term_bell(ui->term);
}

void ui_event(struct ui *ui, const char *json, ns_t now)
{
    cJSON *event = cJSON_Parse(json);
    struct model_change change;
    const cJSON *heir;
    char who[WORDS_BYTES];

    if (event == NULL || model_event(ui->model, event, &change) != ERR_OK) {
        cJSON_Delete(event);
        return;
    }
    ui->is_dirty = true;
    if (strcmp(change.ev, "call") == 0) {
        event_call(ui, &change, now);
    } else if (strcmp(change.ev, "presence") == 0 &&
               cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(event, "contact"))) {
        ui_ask(ui, "contacts");
        heir = cJSON_GetObjectItemCaseSensitive(event, "succeeded");
        if (cJSON_IsObject(heir)) /* petnames are clean */
            ui_notice(ui, now, "%s has a new ID and proved it. The old one is refused.",
                      json_str(heir, "name", "A contact"));
    } else if (change.contact != NULL && change.contact->presence == PRESENCE_ONLINE &&
               change.presence_before != PRESENCE_ONLINE && now >= ui->end_told_until) {
        ui_notice(ui, now, "%s is online.", words_contact(change.contact, who));
    } else if (strcmp(change.ev, "request") == 0) {
        ui_ask(ui, "requests");
    } else if (strcmp(change.ev, "voicemail") == 0) {
        ui_ask(ui, "voicemail");
        ui_notice(ui, now, "New voicemail. 5 plays it.");
        bell_for_all(ui);
    } else if (change.message != NULL && !change.message->is_outgoing) {
        const struct model_contact *c = model_contact_by_id(ui->model, change.message->peer);

        ui_notice(ui, now, "Message from %s.", c != NULL ? words_contact(c, who) : "somebody");
        ui_ask(ui, "messages");
        bell_for_all(ui);
    } else if (strcmp(change.ev, "relay") == 0 && ui->view == VIEW_NETWORK) {
        ui_ask(ui, "relays");
    }
    cJSON_Delete(event);
}

void ui_core_lost(struct ui *ui, const char *text, ns_t now)
{
    model_destroy(ui->model);
    ui->model = model_create();
    ui->is_core_lost = true;
    ui->ended_id = 0;
    if (ui->view == VIEW_CALL || ui->view == VIEW_ENDED)
        ui->view = ui->view_before;
    ui_notice(ui, now, "%s", text);
}

void ui_log(struct ui *ui, enum log_level level, const char *line)
{
    log_add(ui, level, env_wall_ms(ui->env), line);
    if (ui->view == VIEW_LOG)
        ui->is_dirty = true;
}
