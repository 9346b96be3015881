package stage

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
)

// maxEffects bounds one answer of the effects log; more are had with ?after=.
const maxEffects = 100_000

// Control is one thing that a person or a test can make happen.
type Control struct {
	Event   string // as in POST /_sim/<provider>/<event>
	Does    string // one sentence
	Example any    // a body that works
	do      func(read func(any) error) (any, error)
}

// On is a control whose body is a T: a JSON object, or a form with the same names in any
// case, so that a command line needs no quotes. What do returns is the answer, nil is {}.
// An error of do is the caller's fault and told.
func On[T any](event, does string, example any, do func(T) (any, error)) Control {
	return Control{Event: event, Does: does, Example: example, do: func(read func(any) error) (any, error) {
		var body T
		if err := read(&body); err != nil {
			return nil, err
		}
		return do(body)
	}}
}

// Common are the controls that each provider has. Calm gives the provider a chance to
// forget its own scripted outcomes along with the faults.
func (s *Stage) Common(calm func()) []Control {
	controls := []Control{
		On("fault", "Makes the next count calls of an endpoint go wrong: before or after the effect, by hang, reset or 500, or just late. Endpoints: "+strings.Join(s.endpoints, ", ")+".",
			Fault{Endpoint: s.endpoints[0], When: After, How: Hang, Count: 1},
			func(f Fault) (any, error) { return nil, s.Script(f) }),
		On("unkind", "Sets the percentage of this provider's calls that go wrong of themselves.",
			Percent{}, func(p Percent) (any, error) { return nil, s.SetUnkind(p.Percent) }),
		On("calm", "Forgets every scripted fault and outcome that has not happened yet; leaves effects and settings.",
			struct{}{}, func(struct{}) (any, error) {
				s.faults.Clear()
				if s.hooks != nil {
					s.hooks.fates.Clear()
				}
				calm()
				return nil, nil
			}),
	}
	if s.hooks != nil {
		controls = append(controls, s.hooks.controls()...)
	}
	return controls
}

// Percent is the body of the control unkind.
type Percent struct {
	Percent int `json:"percent"`
}

// Panel serves the controls of a provider below its own path: POST /<event>, and
// GET /effects with ?after=, which answers {"effects":[…],"next"?}; where webhooks are sent
// GET /webhooks too, which answers {"webhooks":[…],"next"?}.
func (s *Stage) Panel(controls []Control) http.Handler {
	mux := http.NewServeMux()
	for _, control := range controls {
		mux.Handle("POST /"+control.Event, control)
	}
	mux.HandleFunc("GET /effects", func(w http.ResponseWriter, r *http.Request) { writeLog(w, r, "effects", s.Effects) })
	if s.hooks != nil {
		mux.HandleFunc("GET /webhooks", func(w http.ResponseWriter, r *http.Request) { writeLog(w, r, "webhooks", s.Deliveries) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		Refuse(w, http.StatusNotFound, fmt.Errorf("%s has no such control; GET /_sim/ lists them", s.provider))
	})
	return mux
}

// writeLog answers a page of a log, whose entries are numbered from 1.
func writeLog[T any](w http.ResponseWriter, r *http.Request, name string, read func(after int64) []T) {
	var after int64
	if text := r.URL.Query().Get("after"); text != "" {
		var err error
		if after, err = strconv.ParseInt(text, 10, 64); err != nil || after < 0 {
			Refuse(w, http.StatusBadRequest, errors.New("after: the sequence of the last entry seen"))
			return
		}
	}
	page := map[string]any{}
	entries := read(after)
	if len(entries) > maxEffects {
		entries = entries[:maxEffects]
		page["next"] = after + maxEffects
	}
	page[name] = entries
	Write(w, JSON(http.StatusOK, page))
}

// ServeHTTP does what the control does.
func (c Control) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		Refuse(w, http.StatusBadRequest, err)
		return
	}
	result, err := c.do(func(into any) error { return read(body, into) })
	if err != nil {
		Refuse(w, http.StatusBadRequest, err)
		return
	}
	if result == nil {
		result = struct{}{}
	}
	Write(w, JSON(http.StatusOK, result))
}

// Refuse answers a control that makes no sense: {"error":"…"}.
func Refuse(w http.ResponseWriter, status int, err error) {
	Write(w, JSON(status, map[string]string{"error": err.Error()}))
}

// read takes a JSON object or a form, told apart by the first byte: curl calls everything
// a form that it is given by -d.
func read(body []byte, into any) error {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil
	}
	if body[0] != '{' {
		return readForm(string(body), into)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if decoder.More() {
		return errors.New("body: more than one JSON object")
	}
	return nil
}

func readForm(text string, into any) error {
	form, err := url.ParseQuery(text)
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	target := reflect.ValueOf(into).Elem()
	for name, values := range form {
		field, ok := fieldOf(target, name)
		if !ok {
			return fmt.Errorf("body: unknown field %q", name)
		}
		if err := set(field, values[len(values)-1]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// fieldOf finds the field whose JSON name is name in any case.
func fieldOf(target reflect.Value, name string) (reflect.Value, bool) {
	for i := range target.NumField() {
		tag, _, _ := strings.Cut(target.Type().Field(i).Tag.Get("json"), ",")
		if tag != "" && strings.EqualFold(tag, name) {
			return target.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func set(field reflect.Value, text string) error {
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	if u, ok := field.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch field.Kind() { //nolint:exhaustive // what a form cannot say is the default
	case reflect.String:
		field.SetString(text)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%q is no whole number", text)
		}
		field.SetInt(n)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		field.SetBool(b)
	default:
		return errors.New("can only be given in JSON")
	}
	return nil
}
