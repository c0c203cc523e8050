#include "harness.h"

static void shows_contacts(void **state)
{
    struct harness h;
    uint16_t row, col;

    (void)state;
    harness_init(&h, 24, 80, false);
    assert_shown(&h, " > ● online  山田 太郎          allowed  no        -                    now\n");
    assert_shown(&h, "   ◐ busy    Kenji              allowed  yes       -                    now\n");
    assert_true(ui_cursor(h.ui, &row, &col));
    assert_int_equal(row, 3);
    assert_int_equal(col, 1);
    press(&h, 'j');
    screen(&h);
    assert_true(ui_cursor(h.ui, &row, &col));
    assert_int_equal(row, 4);
    harness_fini(&h);
}

static void calls_with_one_key(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    press(&h, 'j');
    press(&h, 'c');
    assert_true(was_asked(&h, "\"cmd\":\"call\",\"to\":\"" KENJI "\""));
    call_event(&h,
               "\"id\":7,\"peer\":\"" KENJI "\",\"name\":\"Kenji\",\"dir\":\"out\",\"state\":\"looking_up\"");
    h.now += 3 * NS_PER_S;
    assert_shown(&h, " Looking up   Kenji   not verified");
    assert_shown(&h, "00:00:03");
    call_event(&h, IN_CALL);
    assert_shown(&h, " In call   Kenji   not verified                                         00:08:41");
    assert_shown(&h, "direct (hole punched)");
    assert_shown(&h, "call code 482 913");
    press(&h, 'x');
    assert_true(was_asked(&h, "\"cmd\":\"hangup\",\"call\":7"));
    call_event(&h, "\"id\":7,\"peer\":\"" KENJI
                   "\",\"name\":\"Kenji\",\"state\":\"ended\",\"cause\":\"hangup_local\"");
    assert_shown(&h, "You hung up.");
    ui_event(h.ui, "{\"v\":1,\"ev\":\"presence\",\"id\":\"" KENJI "\",\"presence\":\"online\"}", h.now);
    assert_shown(&h, "You hung up."); /* that they are free again does not take its place */
    assert_shown(&h, "   State     Name");
    harness_fini(&h);
}

static void selection_stays(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    press(&h, 'j');
    assert_shown(&h, " > ◐ busy    Kenji");
    ui_event(h.ui, "{\"v\":1,\"ev\":\"presence\",\"id\":\"" KENJI "\",\"presence\":\"online\"}", h.now);
    assert_shown(&h, " > ● online  Kenji");
    assert_shown(&h, "Kenji is online.");
    ui_resize_to(h.ui, 12, 40);
    assert_shown(&h, " > ● Kenji");
    harness_fini(&h);
}

static void a_new_id_is_told(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    ui_event(h.ui,
             "{\"v\":1,\"ev\":\"presence\",\"contact\":null,\"succeeded\":{\"id\":\"" KENJI
             "\",\"name\":\"Kenji\",\"former\":\"" KENJI "\"}}",
             h.now);
    assert_shown(&h, "Kenji has a new ID and proved it. The old one is refused.");
    assert_true(was_asked(&h, "\"cmd\":\"contacts\""));
    harness_fini(&h);
}

static void incoming_answers(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    call_event(&h, INCOMING);
    assert_shown(&h, "┌ Incoming call ────────────────────────────────────────────────── 6 s of 60 s ┐");
    assert_shown(&h, "│ Kenji   allowed, verified   ito1qk4e…kjn7");
    assert_shown(&h, "│ a answer    d decline    s decline with a message    z silence the ring      │");
    press(&h, 'a');
    assert_true(was_asked(&h, "\"cmd\":\"answer\",\"call\":8"));
    harness_fini(&h);
}

static void incoming_is_guarded(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    press(&h, 'j');
    call_event(&h, INCOMING);
    h.now += 200 * NS_PER_MS;
    ui_key(h.ui, 'd', h.now); /* meant for what was there before */
    assert_false(was_asked(&h, "decline"));
    h.now += 200 * NS_PER_MS;
    ui_key(h.ui, K_ALT('d'), h.now);
    assert_true(was_asked(&h, "\"cmd\":\"decline\",\"call\":8"));
    harness_fini(&h);
}

static void alt_works_while_typing(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    type(&h, ":message Kenji a");
    call_event(&h, INCOMING);
    press(&h, 'd');
    assert_false(was_asked(&h, "decline"));
    assert_shown(&h, ":message Kenji ad");
    press(&h, K_ALT('a'));
    assert_true(was_asked(&h, "\"cmd\":\"answer\""));
    harness_fini(&h);
}

static void requests_do_not_interrupt(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    ui_event(h.ui, "{\"v\":1,\"ev\":\"request\",\"requests\":3}", h.now);
    assert_shown(&h, "2Requests(3)");
    assert_not_shown(&h, "Incoming");
    press(&h, '2');
    answer(
        &h, "requests",
        "\"in\":[{\"n\":1,\"id\":\"ito1q3t9w5x7v2n8m4k6j3h9g5f7d2s8a4p6y3u9r5t7w2q8z4c6v3n9m5u24d\",\"name\":"
        "\"Kenji\",\"when\":\"2026-11-24T11:58:00Z\",\"wants\":\"call\",\"tries\":4,\"note\":\"a\\u202eb\"}],"
        "\"out\":[]");
    assert_shown(&h, "These people cannot ring you.");
    ui_resize_to(h.ui, 24, 100);
    assert_shown(&h, "\"Kenji\" (not your Kenji)");
    assert_shown(&h, "\"ab\""); /* the bidi override is gone */
    press(&h, 'a');
    assert_true(was_asked(&h, "\"cmd\":\"requests_allow\",\"n\":1"));
    harness_fini(&h);
}

static void unbound_key(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    press(&h, 'k');
    press(&h, 'T');
    assert_shown(&h, "Nothing bound to \"T\". ? shows the keys.");
    press(&h, 'K'); /* no command at all */
    assert_shown(&h, "Nothing bound to \"K\". ? shows the keys.");
    press(&h, 'm');
    assert_shown(&h, "Nothing bound to \"m\". ? shows the keys.");
    assert_int_equal(h.n_asked, 0);
    harness_fini(&h);
}

static void unknown_command(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    type(&h, ":cal");
    press(&h, K_ENTER);
    assert_shown(&h, "Unknown command \"cal\". Did you mean \"call\"?");
    type(&h, ":contacts alow Kenji");
    press(&h, K_ENTER);
    assert_shown(&h, "Unknown command \"contacts alow\". Did you mean \"contacts allow\"?");
    harness_fini(&h);
}

static void command_line(void **state)
{
    static const struct {
        const char *typed, *asked;
    } lines[] = {
        {":call Desk phone", "\"cmd\":\"call\",\"to\":\"Desk phone\""},
        {":mute on", "\"cmd\":\"mute\",\"on\":true"},
        {":contacts rename \"Desk phone\" Desk", "\"contact\":\"Desk phone\",\"name\":\"Desk\""},
        {":contacts add " KENJI " My friend", "\"id\":\"" KENJI "\",\"name\":\"My friend\""},
        {":requests allow 2", "\"cmd\":\"requests_allow\",\"n\":2"},
        {":message Kenji see you at 9", "\"to\":\"Kenji\",\"text\":\"see you at 9\""},
        {":config set audio.bitrate 32000", "\"key\":\"audio.bitrate\",\"value\":\"32000\""},
        {":peer add 192.0.2.1:4000", "\"cmd\":\"peer_add\",\"addr\":\"192.0.2.1:4000\""},
        {":relay on", "\"cmd\":\"relay\",\"on\":true"},
        {":doctor net", "\"cmd\":\"doctor\",\"part\":\"net\""},
        {":invite --expires 2d --uses 3", "\"expires\":\"2d\",\"uses\":3"},
    };
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        type(&h, lines[i].typed);
        press(&h, K_ENTER);
        if (!was_asked(&h, lines[i].asked))
            fail_msg("%s did not ask %s", lines[i].typed, lines[i].asked);
        forget(&h);
    }
    type(&h, ":mute maybe");
    press(&h, K_ENTER);
    assert_shown(&h, "usage: mute on|off");
    harness_fini(&h);
}

static void tab_completes(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    type(&h, ":cont");
    press(&h, K_TAB);
    assert_shown(&h, ":contacts");
    type(&h, "al");
    press(&h, K_TAB);
    type(&h, "Ke");
    press(&h, K_TAB);
    assert_shown(&h, ":contacts allow Kenji");
    press(&h, K_CTRL('U'));
    type(&h, "h");
    press(&h, K_TAB);
    press(&h, K_TAB);
    assert_shown(&h, "hangup  hold  history  help");
    harness_fini(&h);
}

static void adds_a_contact(void **state)
{
    struct harness h;
    static const char pasted[] = KENJI "\n";

    (void)state;
    harness_init(&h, 24, 80, false);
    press(&h, 'n');
    ui_paste(h.ui, pasted, sizeof pasted - 1, h.now);
    press(&h, K_ENTER);
    assert_shown(&h, "Name for this contact:");
    type(&h, "Ken");
    press(&h, K_ENTER);
    assert_true(was_asked(&h, "\"cmd\":\"contacts_add\",\"id\":\"" KENJI "\",\"name\":\"Ken\""));
    refuse(&h, "contacts_add", "ID has a typing error, probably at character 17 (marked ^).");
    assert_shown(&h, "ID has a typing error, probably at character 17 (marked ^).");
    assert_shown(&h, "ID: " KENJI); /* to be mended */
    press(&h, K_CTRL('U'));
    ui_paste(h.ui, "ito1q3l6…8qju", strlen("ito1q3l6…8qju"), h.now);
    press(&h, K_ENTER);
    assert_true(was_asked(&h, "\"cmd\":\"contacts_check\",\"contact\":\"ito1q3l6…8qju\""));
    assert_shown(&h, "Name for this contact:"); /* keys already typed belong to it */
    refuse(&h, "contacts_check", "That is a shortened ID. Ask for all 63 characters.");
    assert_shown(&h, "ID: ito1q3l6…8qju");
    assert_shown(&h, "That is a shortened ID. Ask for all 63 characters.");
    harness_fini(&h);
}

static void paste_is_not_keys(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    ui_paste(h.ui, "cq", 2, h.now);
    assert_int_equal(h.n_asked, 0);
    assert_false(ui_wants_quit(h.ui));
    harness_fini(&h);
}

static void keeps_call_running(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    call_event(&h, IN_CALL);
    press(&h, K_ESC);
    assert_shown(&h, "ito  call 08:41 Kenji");
    press(&h, '0');
    assert_shown(&h, " In call   Kenji");
    press(&h, 't');
    type(&h, "4#");
    assert_true(was_asked(&h, "\"digits\":\"4\""));
    assert_true(was_asked(&h, "\"digits\":\"#\""));
    assert_shown(&h, "Tones: 4#");
    press(&h, K_ESC);
    press(&h, 'q');
    assert_shown(&h, "Hang up and quit? y/N");
    press(&h, 'k');
    assert_shown(&h, "Hang up and quit? y/N");
    press(&h, 'n');
    assert_false(ui_wants_quit(h.ui));
    press(&h, 'q');
    press(&h, 'y');
    assert_true(ui_wants_quit(h.ui));
    harness_fini(&h);
}

static void lost_is_no_hangup(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    call_event(&h, IN_CALL);
    call_event(&h, "\"id\":7,\"peer\":\"" KENJI
                   "\",\"name\":\"Kenji\",\"dir\":\"out\",\"state\":\"reconnecting\"");
    h.now += 12 * NS_PER_S;
    assert_shown(&h, "Reconnecting 12 s");
    call_event(&h, "\"id\":7,\"peer\":\"" KENJI
                   "\",\"name\":\"Kenji\",\"dir\":\"out\",\"state\":\"ended\",\"cause\":\"lost\"");
    assert_shown(&h, "Connection lost: nothing from Kenji for 30 s.");
    assert_shown(&h, "r call again");
    assert_not_shown(&h, "hung up");
    press(&h, 'r');
    assert_true(was_asked(&h, "\"cmd\":\"call\",\"to\":\"" KENJI "\""));
    harness_fini(&h);
}

static void path_changes(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    call_event(&h, "\"id\":7,\"peer\":\"" KENJI "\",\"state\":\"in_call\",\"path\":\"relayed\"");
    call_event(&h, IN_CALL);
    assert_shown(&h, "Path changed: now direct.");
    harness_fini(&h);
}

static void muted_but_talking(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    call_event(&h, IN_CALL ",\"muted\":true,\"level_out_db\":-12");
    assert_shown(&h, " You       muted ");
    assert_shown(&h, "You are muted but talking.");
    harness_fini(&h);
}

static void small_window(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 8, 32, false);
    call_event(&h, IN_CALL);
    assert_shown(&h, "ito: window too small (40x12\nneeded, now 32x8)\nin call Kenji 08:41  x hangs up\n");
    press(&h, 'c');
    assert_false(was_asked(&h, "\"cmd\":\"call\""));
    press(&h, 'm');
    assert_true(was_asked(&h, "\"cmd\":\"mute\",\"on\":true"));
    press(&h, 'x');
    assert_true(was_asked(&h, "\"cmd\":\"hangup\""));
    harness_fini(&h);
}

static void every_size(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    call_event(&h, IN_CALL);
    for (uint16_t rows = 1; rows < 30; rows += 3) {
        for (uint16_t cols = 1; cols < 100; cols += 7) {
            ui_resize_to(h.ui, rows, cols);
            for (uint32_t key = '0'; key <= '9'; key++) {
                press(&h, key);
                assert_non_null(screen(&h));
            }
            press(&h, '?');
            assert_non_null(screen(&h));
            press(&h, K_ESC);
            forget(&h);
        }
    }
    harness_fini(&h);
}

static void help_lists_keys(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    press(&h, '?');
    assert_shown(&h, "┌ Help: Contacts ─");
    assert_shown(&h, "│ This screen                              Everywhere");
    assert_shown(&h, "│ c      call the selected contact         Alt-a  answer    Alt-d  decline     │");
    assert_shown(&h, "│ n      add a contact by ID");
    assert_shown(&h, "└ j k scroll   / find a key   Esc close ───────────────────────────────────────┘");
    press(&h, 'c');
    assert_false(was_asked(&h, "\"cmd\":\"call\""));
    press(&h, K_ESC);
    assert_not_shown(&h, "Help:");
    harness_fini(&h);
}

static void filter_and_sort(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    type(&h, "/Ken");
    assert_not_shown(&h, "山田");
    press(&h, K_ENTER);
    assert_shown(&h, " > ◐ busy    Kenji");
    press(&h, K_ESC);
    assert_shown(&h, "山田");
    type(&h, ":sort name");
    press(&h, K_ENTER);
    assert_shown(&h, "List     Verified  Last call            Seen\n > ◐ busy    Kenji");
    harness_fini(&h);
}

static void undo_ends(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    press(&h, 'b');
    assert_true(was_asked(&h, "\"cmd\":\"contacts_block\""));
    answer(&h, "contacts_block", "");
    press(&h, 'u');
    assert_true(was_asked(&h, "contacts_undo"));
    answer(&h, "contacts_undo", "");
    forget(&h);
    h.now += 11 * NS_PER_S;
    press(&h, 'u');
    assert_false(was_asked(&h, "contacts_undo"));
    harness_fini(&h);
}

static void first_run(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, true);
    assert_shown(&h, "Step 1 of 4");
    type(&h, "Taro");
    press(&h, K_ENTER);
    answer(&h, "phrase_new", "\"words\":[\"wool\",\"anchor\",\"fade\"]");
    assert_shown(&h, "ito  first run                                                       Step 2 of 4");
    assert_shown(&h, "Protect your identity");
    assert_shown(&h, " 1 wool");
    press(&h, 'S');
    assert_shown(&h, "no backup  Step 2 of 4");
    press(&h, 'S');
    type(&h, "hunter2");
    assert_not_shown(&h, "hunter2");
    assert_shown(&h, "*******");
    press(&h, K_ENTER);
    type(&h, "hunter3");
    press(&h, K_ENTER);
    assert_shown(&h, "The two passphrases differ.");
    type(&h, "hunter2");
    press(&h, K_ENTER);
    assert_true(
        was_asked(&h, "\"cmd\":\"init\",\"name\":\"Taro\",\"passphrase\":\"hunter2\",\"words_wanted\":true"));
    answer(&h, "init", "");
    assert_shown(&h, "Step 3 of 4");
    answer(&h, "status", STATUS);
    press(&h, K_ENTER);
    assert_shown(&h, "Joined   148 peers");
    assert_shown(&h, YAMADA);
    assert_shown(&h, "n adds your first contact");
    press(&h, K_ENTER);
    assert_shown(&h, "1Contacts");
    harness_fini(&h);
}

static void six_keys(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, true);
    press(&h, K_ENTER);
    press(&h, K_ENTER);
    answer(&h, "init", "");
    answer(&h, "status", STATUS);
    press(&h, K_ENTER);
    assert_shown(&h, YAMADA);
    harness_fini(&h);
}

static void remapped(void **state)
{
    struct harness h;
    struct ui_config config = {.core = {&h, harness_request},
                               .keys_json = "{\"call\":\"C\",\"alt_answer\":\"Q\"}"};

    (void)state;
    harness_init(&h, 24, 80, false);
    ui_destroy(h.ui);
    h.ui = ui_create(&config, &h.env, h.now);
    ui_start_text(h.ui, 24, 80);
    answer(&h, "contacts", CONTACTS);
    assert_shown(&h, "keys.alt_answer: Alt-a, Alt-d, Alt-x and : cannot be changed");
    assert_shown(&h, " C call  s message");
    press(&h, 'c');
    assert_false(was_asked(&h, "\"cmd\":\"call\""));
    press(&h, 'C');
    assert_true(was_asked(&h, "\"cmd\":\"call\""));
    harness_fini(&h);
}

static void bad_json_is_dropped(void **state)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "null",
                                      "{\"id\":\"x\"}",
                                      "{\"id\":1}",
                                      "{\"ev\":5}",
                                      "{\"ev\":\"call\"}",
                                      "{\"ev\":\"call\",\"call\":[]}",
                                      "{\"id\":-3,\"ok\":true}"};
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ui_answer(h.ui, bad[i], h.now);
        ui_event(h.ui, bad[i], h.now);
    }
    assert_shown(&h, "Kenji");
    harness_fini(&h);
}

static void deadlines(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    assert_int_equal(ui_deadline(h.ui), 0);
    screen(&h);
    assert_int_equal(ui_deadline(h.ui), h.now + 58 * NS_PER_S); /* the minute of the clock */
    call_event(&h, IN_CALL);
    screen(&h);
    screen(&h);
    assert_int_equal(ui_deadline(h.ui), h.now + NS_PER_S);
    harness_fini(&h);
}

static void bad_setting(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    press(&h, '8');
    answer(&h, "config_show",
           "\"file\":\"config.json\",\"keys\":[{\"key\":\"audio.bitrate\",\"value\":32000,\"default\":24000,"
           "\"meaning\":\"speech quality, bit/s\"}]");
    assert_shown(&h, " > audio.bitrate          32000       24000      speech quality, bit/s");
    press(&h, K_ENTER);
    assert_shown(&h, "audio.bitrate = 32000");
    press(&h, K_CTRL('U'));
    type(&h, "500000");
    press(&h, K_ENTER);
    assert_true(was_asked(&h, "\"cmd\":\"config_set\",\"key\":\"audio.bitrate\",\"value\":\"500000\""));
    refuse(&h, "config_set", "audio.bitrate: 500000 is out of range (6000 to 128000)");
    assert_shown(&h, "audio.bitrate: 500000 is out of range (6000 to 128000). Kept 32000.");
    press(&h, '=');
    assert_true(was_asked(&h, "\"value\":\"24000\""));
    harness_fini(&h);
}

static void no_secret_stays(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    type(&h, ":keys phrase wool anchor fade");
    press(&h, K_ENTER);
    assert_true(was_asked(&h, "\"cmd\":\"keys_phrase\",\"phrase\":\"wool anchor fade\""));
    press(&h, ':');
    press(&h, K_UP);
    assert_not_shown(&h, "wool");
    harness_fini(&h);
}

static void chat_and_voicemail(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    press(&h, K_ENTER);
    answer(&h, "messages",
           "\"messages\":[{\"n\":1,\"peer\":\"" YAMADA "\",\"dir\":\"out\",\"when\":\"2026-11-24T11:20:00Z\","
           "\"text\":\"見えたら教えて\",\"state\":\"waiting\"},{\"n\":2,\"peer\":\"" KENJI
           "\",\"dir\":\"in\","
           "\"when\":\"2026-11-24T11:21:00Z\",\"text\":\"other\"}]");
    assert_shown(&h, " Chat with 山田 太郎");
    assert_shown(&h, " > 11:20      Taro        見えたら教えて                      waiting (offline)");
    assert_not_shown(&h, "other");
    press(&h, 's');
    type(&h, "hi");
    press(&h, K_ENTER);
    assert_true(was_asked(&h, "\"cmd\":\"message\",\"to\":\"" YAMADA "\",\"text\":\"hi\""));
    press(&h, '5');
    answer(&h, "voicemail",
           "\"voicemail\":[{\"n\":3,\"id\":\"" KENJI
           "\",\"name\":\"Kenji\",\"when\":\"2026-11-24T11:03:00Z\","
           "\"length\":24,\"state\":\"new\"}]");
    assert_shown(&h, " > today 11:03  Kenji           0:24    new");
    assert_shown(&h, "   :export   ? help");
    press(&h, 'p');
    assert_true(was_asked(&h, "\"cmd\":\"voicemail_play\",\"n\":3"));
    harness_fini(&h);
}

static void log_lines(void **state)
{
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    ui_log(h.ui, LOG_INFO, "call 7 ringing peer=ito1q3l6…8qju");
    ui_log(h.ui, LOG_DEBUG, "only for debugging");
    ui_log(h.ui, LOG_WARN, "relay iton1qnex…jttf slow: 900 ms, trying another");
    press(&h, '9');
    assert_shown(&h, " Log   level info   follow on\n   12:04:02 info  call 7 ringing peer=ito1q3l6…8qju\n"
                     " > 12:04:02 warn  relay iton1qnex…jttf slow: 900 ms, trying another\n");
    assert_not_shown(&h, "debugging");
    press(&h, 'L');
    assert_shown(&h, "debugging");
    press(&h, 'F');
    assert_shown(&h, "follow off");
    harness_fini(&h);
}

static void every_cause_shown(void **state)
{
    static const char *const causes[] = {"cancelled",    "declined",    "busy",         "no_answer",
                                         "not_allowed",  "offline",     "not_found",    "no_network",
                                         "no_path",      "id_mismatch", "lost",         "audio",
                                         "incompatible", "internal",    "hangup_remote"};
    static const char *const words[] = {
        "You cancelled",   "Kenji declined.",   "in another call",      "No answer after", "Request sent.",
        "offline (seen",   "No record of",      "not connected",        "No direct path",  "prove this ID",
        "Connection lost", "Microphone cannot", "too old (or too new)", "This is a bug",   "Kenji hung up."};
    struct harness h;

    (void)state;
    harness_init(&h, 24, 80, false);
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        static const char who[] = "\"peer\":\"" KENJI "\",\"name\":\"Kenji\",\"dir\":\"out\"";
        char text[256];

        snprintf(text, sizeof text, "\"id\":%zu,%s,\"state\":\"connecting\"", i + 9, who);
        call_event(&h, text);
        snprintf(text, sizeof text, "\"id\":%zu,%s,\"state\":\"ended\",\"cause\":\"%s\"", i + 9, who,
                 causes[i]);
        call_event(&h, text);
        assert_shown(&h, words[i]);
        press(&h, K_ESC);
        forget(&h);
    }
    press(&h, '3');
    assert_shown(&h, "connection lost");
    harness_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        sentence("contacts stand in columns and the cursor on the selected row", shows_contacts),
        sentence("one key calls, one hangs up, and the call screen opens by itself", calls_with_one_key),
        sentence("the selection stays on its person when the order or the window changes", selection_stays),
        sentence("a contact who goes on under a new ID is told of", a_new_id_is_told),
        sentence("an incoming call is a box, and a answers", incoming_answers),
        sentence("a key typed just before does not decline, Alt-d does", incoming_is_guarded),
        sentence("while typing only Alt-a answers", alt_works_while_typing),
        sentence("a request changes a counter and nothing else", requests_do_not_interrupt),
        sentence("a key without meaning says so and asks nothing", unbound_key),
        sentence("an unknown command is told with the nearest one", unknown_command),
        sentence("command lines become the requests of the core", command_line),
        sentence("Tab completes commands and names, twice lists", tab_completes),
        sentence("a contact is added by paste, Enter, name, Enter, and a bad ID can be mended",
                 adds_a_contact),
        sentence("a paste without an input line presses no keys", paste_is_not_keys),
        sentence("a call goes on while other screens show, and quitting asks", keeps_call_running),
        sentence("a lost connection is never worded as a hang-up", lost_is_no_hangup),
        sentence("a path that changes is told", path_changes),
        sentence("a muted microphone that hears speech is told", muted_but_talking),
        sentence("a window too small still hangs up and mutes", small_window),
        sentence("every screen draws at every size", every_size),
        sentence("the help lists this screen's keys first and takes only its own", help_lists_keys),
        sentence("the filter hides rows, :sort reorders them", filter_and_sort),
        sentence("a list change can be undone for ten seconds", undo_ends),
        sentence("the first run makes an identity in four steps", first_run),
        sentence("the first run shows the ID after three keys of Enter", six_keys),
        sentence("keys can be remapped, but not the fixed ones", remapped),
        sentence("text that is no answer or event is dropped", bad_json_is_dropped),
        sentence("a bad setting is told and the old value named", bad_setting),
        sentence("a recovery phrase does not stay in the history of lines", no_secret_stays),
        sentence("messages and voicemail have their screens", chat_and_voicemail),
        sentence("the log shows its level and follows", log_lines),
        sentence("every cause is told when a call ends", every_cause_shown),
        sentence("an idle screen sleeps to the minute, a call to the second", deadlines),
    };

    return run_sentences("ui", tests);
}
