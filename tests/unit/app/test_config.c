#include "unit/test.h"

#include <stdlib.h>
#include <unistd.h>

#include "app/config.h"
#include "base/file.h"
#include "base/mem.h"

static void refuse(const char *text, const char *expected)
{
    struct config *c = config_create();
    struct config_errors errors = {0};
    char all[2048] = "";

    assert_int_equal(config_parse(c, "config.json", slice_str(text), &errors), ERR_CONFIG);
    for (unsigned i = 0; i < errors.n; i++) {
        strcat(all, errors.lines[i]);
        strcat(all, "\n");
    }
    assert_string_equal(all, expected);
    for (int k = 0; k < CFG_COUNT; k++)
        assert_true(config_is_default(c, k));
    config_errors_fini(&errors);
    config_destroy(c);
}

static void exact_words(void **state)
{
    (void)state;
    refuse("{\"audio\": {\n\"bitrate\": 500000}}",
           "config.json:2: audio.bitrate: 500000 is out of range (6000 to 128000)\n");
    refuse("{\"audio\": {\"bitrat\": 1}}",
           "config.json:1: audio.bitrat: unknown key; did you mean audio.bitrate?\n");
    refuse("{\"relay\": {\"metrics\": \"0.0.0.0:9300\"}}",
           "config.json:1: relay.metrics: \"0.0.0.0:9300\" is not on this machine; 127.0.0.1:PORT or "
           "[::1]:PORT is\n");
    refuse("{\"relay\": {\"metrics\": \"9300\"}}",
           "config.json:1: relay.metrics: \"9300\" is not HOST:PORT of this machine, as 127.0.0.1:9300\n");
    refuse("{\"net\": {\"port\": \"auto\"}}", "config.json:1: net.port: expected a number, found \"auto\"\n");
    refuse("{\"call\": {\n\"ring_s\": 20,\n\"ring_s\": 30}}",
           "config.json:3: call.ring_s: given twice (first on line 2)\n");
    refuse("{\"log\": {\"level\": \"info\" \"x\"}}",
           "config.json:1: not JSON: expected , or } after \"info\"\n");
    refuse("{\"log\": {\"level\": \"loud\"},\n \"net\": {\"peers\": [\"host\"]}}",
           "config.json:1: log.level: \"loud\" is not one of error, warn, info, debug\n"
           "config.json:2: net.peers: \"host\" is not HOST:PORT\n");
    refuse("{\"audio\": {\"jitter_min_ms\": 150, \"jitter_max_ms\": 100}}",
           "config.json:1: audio.jitter_max_ms: 100 is less than audio.jitter_min_ms (150)\n");
    refuse("{\"audio\": 3}", "config.json:1: audio: expected an object, found 3\n");
    refuse("[1]", "config.json:1: not an object: expected {\n");
}

static void example_is_the_defaults(void **state)
{
    struct config *c = config_create();
    struct config_errors errors = {0};
    char *text = config_print(c);

    (void)state;
    assert_int_equal(config_parse(c, "example", slice_str(text), &errors), ERR_OK);
    for (int k = 0; k < CFG_COUNT; k++)
        assert_true(config_is_default(c, k));
    mem_free(text);
    config_destroy(c);
}

static void set_keeps_the_rest(void **state)
{
    char path[] = "/tmp/ito-config-XXXXXX";
    struct config *c = config_create();
    struct err_detail d;
    uint8_t *text;
    size_t len;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    file_replace(path, slice_str("{\n  \"audio\": { \"input\":  \"mic\" }\n}\n"), 0600, NULL);
    assert_int_equal(config_set(c, path, "audio.bitrate", "32000", &d), ERR_OK);
    assert_int_equal(config_set(c, path, "audio.input", "null", &d), ERR_OK);
    assert_int_equal(config_set(c, path, "net.port", "41641", &d), ERR_OK);
    assert_int_equal(config_set(c, path, "net.port", "70000", &d), ERR_CONFIG);
    assert_string_equal(d.text, "net.port: 70000 is out of range (0 to 65535)");
    assert_int_equal(file_read(path, 4096, &text, &len, NULL), ERR_OK);
    assert_string_equal((char *)text, "{\n  \"net\": {\"port\": 41641},\n  \"audio\": {\"bitrate\": 32000,  "
                                      "\"input\":  \"null\" }\n}\n");
    assert_int_equal(config_int(c, CFG_NET_PORT), 41641);
    mem_free(text);
    unlink(path);
    config_destroy(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("bad settings give the exact words and change nothing", exact_words),
        sentence("the printed example is the defaults", example_is_the_defaults),
        sentence("set changes one value and keeps the rest of the file", set_keeps_the_rest),
    };

    return run_sentences("config", tests);
}
