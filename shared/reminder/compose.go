package reminder

import (
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"regexp"
	"strings"
	texttemplate "text/template"
	"time"
	_ "time/tzdata" // the zones are those of the build, not of the machine
	"unicode"
	"unicode/utf16"
)

//go:embed templates
var files embed.FS

var (
	texts = texttemplate.Must(texttemplate.New("").Option("missingkey=error").ParseFS(files, "templates/*.txt"))
	// blank is what conditions leave where they say nothing.
	blank = regexp.MustCompile(`\n{3,}`)
	pages = htmltemplate.Must(htmltemplate.New("").Option("missingkey=error").ParseFS(files, "templates/*.html"))
)

const (
	// All in UTF-16 units, as telephones count.
	maxName  = 60  // of a customer's name in a greeting
	maxPlan  = 100 // of a plan's name
	maxShort = 140 // of a text message
	minPlan  = 8   // of a plan's name that a text message keeps, however long its link is
)

// words is what the templates see. All of it is one line each and without control
// characters.
type words struct {
	Plan   string
	Name   string // "" where it is unknown or may not be shown
	Amount string
	When   string // "" where nothing is tried before the payment method changes
	Soon   string // When for a text message
	Link   string // "" where there is no page
}

// Compose puts a reminder into words, in Korean or English by its Locale, or by its Zone
// where that is unknown. It is pure. Whatever a customer or a catalog wrote is one line,
// bounded, and escaped where it is HTML. Errors: an amount or a zone that nobody could
// read.
func Compose(r Reminder) (Message, error) {
	locale := language(r.Locale, r.Zone)
	amount, err := readable(r.Amount, locale)
	if err != nil {
		return Message{}, err
	}
	w := words{Plan: oneLine(r.PlanName, maxPlan), Name: greetable(r.Name), Amount: amount, Link: safeLink(r.Link)}
	if w.Plan == "" {
		w.Plan = oneLine(r.SubscriptionID, maxPlan)
	}
	if !r.NextAttemptAt.IsZero() {
		if w.When, w.Soon, err = wall(r.NextAttemptAt, r.Zone, locale); err != nil {
			return Message{}, err
		}
	}
	m := Message{Locale: locale}
	for _, part := range []struct {
		name string
		to   *string
	}{{"subject", &m.Subject}, {"text", &m.Text}} {
		if *part.to, err = said(locale, part.name, w); err != nil {
			return Message{}, err
		}
	}
	m.Subject = oneLine(m.Subject, 2*maxPlan)
	var page strings.Builder
	if err := pages.ExecuteTemplate(&page, locale+".html", w); err != nil {
		return Message{}, fmt.Errorf("reminder: page: %w", err)
	}
	m.HTML = page.String()
	m.Short, err = short(locale, w)
	return m, err
}

// said executes one of the templates of text.
func said(locale, part string, w words) (string, error) {
	var b strings.Builder
	if err := texts.ExecuteTemplate(&b, locale+"."+part, w); err != nil {
		return "", fmt.Errorf("reminder: %s: %w", part, err)
	}
	return strings.TrimSpace(blank.ReplaceAllString(b.String(), "\n\n")), nil
}

// short is the text message. What is cut where it is too long is the plan's name.
func short(locale string, w words) (string, error) {
	text, err := said(locale, "short", w)
	if over := units(text) - maxShort; err == nil && over > 0 {
		w.Plan = cut(w.Plan, max(minPlan, units(w.Plan)-over))
		text, err = said(locale, "short", w)
	}
	return oneLine(text, maxLink+maxShort), err
}

func units(text string) int { return len(utf16.Encode([]rune(text))) }

// language is "ko" or "en".
func language(locale, zone string) string {
	primary, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(strings.TrimSpace(locale)), "_", "-"), "-")
	if primary == "ko" || primary == "" && zone == korea {
		return "ko"
	}
	return "en"
}

// oneLine makes text one line of at most that many UTF-16 units, without control characters and
// the marks that turn the direction of writing.
func oneLine(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	return cut(strings.Join(strings.Fields(text), " "), most)
}

// cut shortens text to most UTF-16 units, the last of them an ellipsis.
func cut(text string, most int) string {
	if units(text) <= most {
		return text
	}
	kept := 0
	for i, r := range text {
		if kept += utf16.RuneLen(r); kept > most-1 {
			return strings.TrimRight(text[:i], " ") + "…"
		}
	}
	return text
}

// greetable returns a name to greet with, or "" for one that a mail program would turn
// into a link or an address: anybody may call themselves anything, and the message comes
// from the company.
func greetable(name string) string {
	name = oneLine(name, maxName)
	if strings.ContainsAny(name, `/\:@<>[]{}`) {
		return ""
	}
	letter := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	runes := []rune(name)
	for i := 1; i+1 < len(runes); i++ {
		if strings.ContainsRune(".。．｡", runes[i]) && letter(runes[i-1]) && letter(runes[i+1]) {
			return ""
		}
	}
	return name
}

// korea is the zone that is named by its country rather than its city.
const korea = "Asia/Seoul"

var (
	errZone  = errors.New("reminder: the zone is not one of the IANA time zone database")
	weekdays = [...]string{"일", "월", "화", "수", "목", "금", "토"}
)

// wall is an instant on the wall of a zone, in full and short, each with the zone.
func wall(at time.Time, zone, locale string) (full, brief string, err error) {
	if zone == "" {
		zone = "UTC"
	}
	where, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return "", "", errZone
	}
	at = at.In(where)
	name := zone + ", UTC" + at.Format("-07:00")
	brief = "UTC" + at.Format("-07:00")
	if zone == "UTC" {
		name, brief = "UTC", "UTC"
	}
	if locale == "ko" {
		if zone == korea {
			name, brief = "한국 시간", "한국 시간"
		}
		half := "오전"
		if at.Hour() >= 12 {
			half = "오후"
		}
		day := fmt.Sprintf("%d월 %d일(%s)", at.Month(), at.Day(), weekdays[at.Weekday()])
		return fmt.Sprintf("%d년 %s %s %s (%s)", at.Year(), day, half, at.Format("3:04"), name), fmt.Sprintf("%s %s(%s)", day, at.Format("15:04"), brief), nil
	}
	if zone == korea {
		name, brief = "Korea time, UTC+09:00", "Korea time"
	}
	return at.Format("Monday, 2 January 2006, 3:04 PM") + " (" + name + ")", at.Format("2 Jan 15:04") + " (" + brief + ")", nil
}
