package reminder_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"grantline/shared/money"
	"grantline/shared/reminder"
	"grantline/shared/table"
)

// due is the reminder of a Korean customer whose next attempt is in three days.
func due() reminder.Reminder {
	return reminder.Reminder{
		ID: "rem_1", Scope: table.Default, SubscriptionID: "minji-premium", PlanName: "프리미엄 월간", CustomerID: "minji",
		Amount: money.Of(4900, "KRW"), NextAttemptAt: time.Date(2026, 12, 25, 1, 48, 49, 0, time.UTC), Zone: "Asia/Seoul",
		Period: 1, Attempt: 2, DeclineCode: "REJECT_CARD_PAYMENT", Link: "https://app.example.com/card?s=minji-premium",
		Email: "minji@example.com", Phone: "+821012345678", Name: "김민지", Locale: "ko-KR",
	}
}

func compose(t *testing.T, r reminder.Reminder) reminder.Message {
	t.Helper()
	m, err := reminder.Compose(r)
	if err != nil {
		t.Fatalf("Compose(%+v): %v", r, err)
	}
	return m
}

func TestAKoreanCustomerIsToldInKorean(t *testing.T) {
	got := compose(t, due())
	got.HTML = ""
	want := reminder.Message{
		Locale:  "ko",
		Subject: "프리미엄 월간 결제가 완료되지 않았습니다",
		Text: `김민지님, 안녕하세요.

구독 중인 프리미엄 월간의 지난 결제(4,900원)가 완료되지 않았습니다.

다음 결제 예정: 2026년 12월 25일(금) 오전 10:48 (한국 시간)
결제 금액: 4,900원

그때 같은 결제 수단으로 한 번 더 결제합니다. 따로 하실 일은 없습니다.

다른 결제 수단을 쓰시려면 아래 주소에서 바꿔 주세요.
https://app.example.com/card?s=minji-premium`,
		Short: "[프리미엄 월간] 결제가 완료되지 않았습니다. 12월 25일(금) 10:48(한국 시간)에 4,900원 결제를 다시 시도합니다. " +
			"결제 수단 변경: https://app.example.com/card?s=minji-premium",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

func TestAnybodyElseIsToldInEnglish(t *testing.T) {
	r := due()
	r.Locale, r.Zone, r.Name, r.PlanName, r.Link = "fr-CA", "America/New_York", "Jane Doe", "Premium", ""
	r.Amount = money.Of(999, "USD")
	got := compose(t, r)
	got.HTML = ""
	want := reminder.Message{
		Locale:  "en",
		Subject: "Your payment for Premium did not go through",
		Text: `Hello Jane Doe,

The last payment for your subscription Premium ($9.99) did not go through.

Next attempt: Thursday, 24 December 2026, 8:48 PM (America/New_York, UTC-05:00)
Amount: $9.99

We will then try the same payment method once more. There is nothing else you need to do.

To use another payment method, change it in the app.`,
		Short: "Premium: payment failed. Retry of $9.99 on 24 Dec 20:48 (UTC-05:00). You can change how you pay in the app.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("message (-want +got):\n%s", diff)
	}
}

func TestWhereNothingIsTriedAgainTheCustomerIsAskedForAnotherPaymentMethod(t *testing.T) {
	for locale, want := range map[string]string{"ko": "다시 결제하지 않습니다", "en": "We will not try this payment method again"} {
		for _, link := range []string{"", "https://app.example.com/card"} {
			r := due()
			r.NextAttemptAt, r.Locale, r.Link = time.Time{}, locale, link
			m := compose(t, r)
			for name, got := range map[string]string{"text": m.Text, "HTML": m.HTML} {
				if !strings.Contains(got, want) || !strings.Contains(got, link) || strings.Contains(got, "0001") {
					t.Errorf("%s in %s is %q, want %q and the link %q", name, locale, got, want, link)
				}
			}
			if !strings.Contains(m.Short, link) || strings.Contains(m.Short, "4,900") {
				t.Errorf("the text message is %q, want the link %q and no attempt", m.Short, link)
			}
		}
	}
}

func TestTheLanguageIsTheCustomersOrElseThatOfTheZone(t *testing.T) {
	for _, c := range []struct{ locale, zone, want string }{
		{"ko", "UTC", "ko"},
		{"ko-KR", "America/New_York", "ko"},
		{"KO_kr", "UTC", "ko"},
		{"ko-Kore-KR", "UTC", "ko"},
		{"", "Asia/Seoul", "ko"},
		{"", "UTC", "en"},
		{"", "", "en"},
		{"en-US", "Asia/Seoul", "en"},
		{"kok-IN", "Asia/Seoul", "en"},
		{"ja", "Asia/Seoul", "en"},
	} {
		r := due()
		r.Locale, r.Zone = c.locale, c.zone
		if got := compose(t, r).Locale; got != c.want {
			t.Errorf("locale %q in %q: told in %q, want %q", c.locale, c.zone, got, c.want)
		}
	}
}

func TestAmountsReadAsTheirCurrencyIsWritten(t *testing.T) {
	for _, c := range []struct {
		amount money.Amount
		locale string
		want   string
	}{
		{money.Of(4900, "KRW"), "ko", "4,900원"},
		{money.Of(4900, "KRW"), "en", "KRW 4,900"},
		{money.Of(900, "KRW"), "ko", "(900원)"},
		{money.Of(1234567890, "KRW"), "ko", "1,234,567,890원"},
		{money.Of(999, "USD"), "en", "$9.99"},
		{money.Of(5, "USD"), "ko", "$0.05"},
		{money.Of(123456789, "USD"), "en", "$1,234,567.89"},
		{money.Of(1999, "EUR"), "en", "EUR 19.99"},
		{money.Of(1999, "CAD"), "en", "CAD 19.99"},
		{money.Of(500, "JPY"), "ko", "JPY 500"},
		{money.Of(12345, "KWD"), "en", "KWD 12.345"},
	} {
		r := due()
		r.Amount, r.Locale = c.amount, c.locale
		if got := compose(t, r).Text; !strings.Contains(got, c.want) {
			t.Errorf("%v in %s is %q, want %q in it", c.amount, c.locale, got, c.want)
		}
	}
}

func TestTheNextAttemptIsOnTheWallOfTheSubscriptionsZone(t *testing.T) {
	for _, c := range []struct{ zone, locale, want, brief string }{
		{"Asia/Seoul", "ko", "2026년 12월 25일(금) 오전 10:48 (한국 시간)", "12월 25일(금) 10:48(한국 시간)"},
		{"Asia/Seoul", "en", "Friday, 25 December 2026, 10:48 AM (Korea time, UTC+09:00)", "25 Dec 10:48 (Korea time)"},
		{"UTC", "ko", "2026년 12월 25일(금) 오전 1:48 (UTC)", "12월 25일(금) 01:48(UTC)"},
		{"", "en", "Friday, 25 December 2026, 1:48 AM (UTC)", "25 Dec 01:48 (UTC)"},
		{"America/New_York", "ko", "2026년 12월 24일(목) 오후 8:48 (America/New_York, UTC-05:00)", "12월 24일(목) 20:48(UTC-05:00)"},
	} {
		r := due()
		r.Zone, r.Locale = c.zone, c.locale
		m := compose(t, r)
		for name, got := range map[string]string{"text": m.Text, "HTML": strings.ReplaceAll(m.HTML, "&#43;", "+")} {
			if !strings.Contains(got, c.want) {
				t.Errorf("%s in %q, %s is %q, want %q in it", name, c.zone, c.locale, got, c.want)
			}
		}
		if !strings.Contains(m.Short, c.brief) {
			t.Errorf("text message in %q, %s is %q, want %q in it", c.zone, c.locale, m.Short, c.brief)
		}
	}
}

func TestNothingAnybodyWroteBreaksOutOfTheMessage(t *testing.T) {
	const hostile = "A\r\nBcc: x@example.com\u202e\u2028\x00<script>alert(1)</script>\"'>{{.Link}}"
	for _, locale := range []string{"ko", "en"} {
		r := due()
		r.Locale, r.Name, r.PlanName = locale, hostile, hostile
		m := compose(t, r)
		for name, got := range map[string]string{"subject": m.Subject, "text message": m.Short} {
			if strings.ContainsAny(got, "\r\n\x00\u202e\u2028") {
				t.Errorf("the %s %q has more than one line, or marks that cannot be seen", name, got)
			}
		}
		if strings.ContainsAny(m.Text, "\r\x00\u202e\u2028") || strings.Contains(m.Text, "\nBcc:") {
			t.Errorf("the text %q has a line that its template does not have", m.Text)
		}
		if strings.Contains(m.HTML, "<script") || strings.Contains(m.HTML, "\"'>") || !strings.Contains(m.HTML, "&lt;script&gt;") {
			t.Errorf("the page %q is not escaped", m.HTML)
		}
		if strings.Count(m.Text, r.Link) != 1 {
			t.Errorf("the text %q was executed twice", m.Text)
		}
	}
}

func TestANameThatWouldBecomeALinkIsNotGreeted(t *testing.T) {
	for name, shown := range map[string]bool{
		"김민지": true, "J. R. Smith": true, "Dr. Kim Jr.": true, "O'Neil-Park": true, "": false,
		"win at evil.example": false, "https://evil.example": false, "evil。example": false, "a@b": false, "//evil": false, "<b>": false, "\u200b\n": false,
	} {
		r := due()
		r.Name = name
		m := compose(t, r)
		greeting, _, _ := strings.Cut(m.Text, "\n")
		want := "안녕하세요."
		if shown {
			want = name + "님, 안녕하세요."
		}
		if greeting != want || strings.Contains(m.HTML, "evil") {
			t.Errorf("named %q: got %q, want %q, and the same on the page", name, greeting, want)
		}
	}
}

func TestALinkThatNobodyShouldFollowIsLeftOut(t *testing.T) {
	for _, link := range []string{
		"javascript:alert(1)", "data:text/html,x", "/card", "https://", "https://user:pass@example.com/", "https://example.com/\r\nx", "https://example.com/?a=b c",
		"https://example.com/?\u202ea", "ftp://example.com/", "https://example.com/" + strings.Repeat("a", 2000),
	} {
		r := due()
		r.Link = link
		m := compose(t, r)
		if !strings.Contains(m.Text, "앱에서 바꿔 주세요") || strings.Contains(m.HTML, "href") || strings.Contains(m.Short, "://") {
			t.Errorf("with the link %.40q: got %q, want that the app is named instead", link, m.Text)
		}
	}
}

func TestATextMessageIsShortHoweverLongThePlansName(t *testing.T) {
	for _, locale := range []string{"ko", "en"} {
		for _, plan := range []string{strings.Repeat("프리미엄 ", 40), strings.Repeat("💎", 90), "P"} {
			r := due()
			r.Locale, r.PlanName = locale, plan
			got := compose(t, r).Short
			if n := len(utf16.Encode([]rune(got))); n > 140 || !strings.Contains(got, r.Link) {
				t.Errorf("%q has %d UTF-16 units, want 140 at most, with the link", got, n)
			}
		}
		r := due()
		r.Locale, r.PlanName, r.Link = locale, strings.Repeat("프", 100), "https://example.com/"+strings.Repeat("a", 300)
		if got := compose(t, r).Short; !strings.Contains(got, r.Link) || !strings.Contains(got, "프프프") {
			t.Errorf("got %q, want a long link whole and a beginning of the name", got)
		}
	}
}

func TestWhatNobodyCouldReadIsAnError(t *testing.T) {
	for name, spoil := range map[string]func(*reminder.Reminder){
		"no amount":        func(r *reminder.Reminder) { r.Amount = money.Amount{} },
		"a negative one":   func(r *reminder.Reminder) { r.Amount.Units = -1 },
		"unknown currency": func(r *reminder.Reminder) { r.Amount.Currency = "XXX" },
		"unknown zone":     func(r *reminder.Reminder) { r.Zone = "Mars/Olympus" },
		"machine's zone":   func(r *reminder.Reminder) { r.Zone = "Local" },
	} {
		r := due()
		spoil(&r)
		if m, err := reminder.Compose(r); err == nil {
			t.Errorf("%s: got %+v, want an error", name, m)
		}
	}
}

func TestAPlanWithoutANameIsNamedByItsSubscription(t *testing.T) {
	r := due()
	r.PlanName = "\n"
	if got := compose(t, r).Subject; !strings.HasPrefix(got, "minji-premium ") {
		t.Errorf("the subject is %q, want the subscription's id in place of the name", got)
	}
}

// FuzzAMessageStaysOneLineWhereItMust holds for whatever a customer and a catalog wrote.
func FuzzAMessageStaysOneLineWhereItMust(f *testing.F) {
	f.Add("김민지", "프리미엄", "ko", "https://app.example.com/card")
	f.Add("a\r\nb", "<b>\x00", "en", "javascript:alert(1)")
	f.Fuzz(func(t *testing.T, name, plan, locale, link string) {
		r := due()
		r.Name, r.PlanName, r.Locale, r.Link = name, plan, locale, link
		m := compose(t, r)
		if strings.ContainsAny(m.Subject+m.Short, "\r\n\x00") || strings.Contains(m.Text, "\r") || m.Subject == "" || m.Short == "" {
			t.Errorf("got subject %q, text %q and text message %q", m.Subject, m.Text, m.Short)
		}
		plain := due()
		plain.Locale = m.Locale
		if !strings.Contains(m.HTML, "href") {
			plain.Link = ""
		}
		if got, want := strings.Count(m.HTML, "<"), strings.Count(compose(t, plain).HTML, "<"); got != want {
			t.Errorf("the page %q has %d marks, want the %d of its template", m.HTML, got, want)
		}
	})
}
