/* app/model_parse.h - one JSON object of UX §6 to one row of the model. Only model.c uses it.
 *
 *   in     cJSON objects, borrowed; members that are missing or of another type are "unknown"
 *   out    a row that was all zero
 *   trust  every text that shows is cleaned (utf8_clean), IDs are cut to their field */
#ifndef ITO_APP_MODEL_PARSE_H
#define ITO_APP_MODEL_PARSE_H

#include "app/model.h"

/* A text of somebody, cleaned; empty when missing. */
void take_text(const cJSON *o, const char *key, char *out, size_t size);
/* A number, or MODEL_UNKNOWN. */
int64_t take_int(const cJSON *o, const char *key);
/* A number, or 0. */
int64_t take_count(const cJSON *o, const char *key);
/* A moment, or MODEL_UNKNOWN. */
int64_t take_time(const cJSON *o, const char *key);

#define TAKE(o, key, field) take_text(o, key, field, sizeof(field))

enum model_presence parse_presence(const char *word);
enum model_state parse_state(const char *word);

/* Each fills the struct its name says; void pointers, so that lists go through one loop. */
void parse_contact(const cJSON *o, void *contact);
void parse_call(const cJSON *o, void *call);
void parse_past_call(const cJSON *o, void *call);
void parse_request(const cJSON *o, void *request);
void parse_relay(const cJSON *o, void *relay);
void parse_voicemail(const cJSON *o, void *voicemail);
void parse_message(const cJSON *o, void *message);
void parse_setting(const cJSON *o, void *setting);
void parse_forward(const cJSON *o, void *forward);
void parse_network(const cJSON *o, struct model_network *w);
/* All but its list of forwards. */
void parse_service(const cJSON *o, struct model_service *s);
void parse_totals(const cJSON *o, struct model_totals *t);

#endif
