// Command control makes something happen in the running simulators:
//
//	go run ./infra/sim/control toss.decline code=REJECT_CARD_PAYMENT count=1
//	go run ./infra/sim/control unkind percent=0
//	go run ./infra/sim/control toss.effects after=12
//	go run ./infra/sim/control dodo.webhooks
//	go run ./infra/sim/control
//
// The last one lists what can be made to happen. Names may be in any case and the event
// may be given as EVENT=toss.decline, so that a Makefile can hand over its variables as
// they are; what is not lower case and begins with GRANTLINE_ is not for the simulators.
// GRANTLINE_SIM_PORT is the port, 4000 unless set.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

func main() {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	base := "http://127.0.0.1:" + cmp.Or(os.Getenv("GRANTLINE_SIM_PORT"), "4000")
	if err := run(ctx, base, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run asks the simulators at base for what the arguments say and prints the answer.
func run(ctx context.Context, base string, arguments []string, out io.Writer) error {
	event, fields, err := parse(arguments)
	if err != nil {
		return err
	}
	path := base + "/_sim/" + strings.ReplaceAll(event, ".", "/")
	method, body := http.MethodPost, fields.Encode()
	list := event == ""
	if list || strings.HasSuffix(event, ".effects") || strings.HasSuffix(event, ".webhooks") {
		method, path, body = http.MethodGet, path+"?"+body, ""
	}
	request, err := http.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("are the simulators running (make run)? %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		var problem struct{ Error string }
		_ = json.Unmarshal(answer, &problem)
		return errors.New(cmp.Or(problem.Error, response.Status))
	}
	if list {
		return show(answer, out)
	}
	_, err = fmt.Fprintf(out, "%s\n", answer)
	return err
}

// parse tells the event from its fields.
func parse(arguments []string) (string, url.Values, error) {
	event, fields := "", url.Values{}
	for _, argument := range arguments {
		name, value, given := strings.Cut(argument, "=")
		switch {
		case !given && event == "":
			event = name
		case !given:
			return "", nil, fmt.Errorf("%q: fields are name=value", argument)
		case name == "EVENT":
			event = value
		case strings.HasPrefix(name, "GRANTLINE_"):
		default:
			fields.Set(name, value)
		}
	}
	if strings.ContainsAny(event, "/?#%") {
		return "", nil, fmt.Errorf("%q: an event is <provider>.<event>", event)
	}
	return event, fields, nil
}

// show prints the list of controls, a line of what it does and one of how, each.
func show(answer []byte, out io.Writer) error {
	var list struct {
		Controls []struct {
			Event, Does string
			Example     map[string]any
		}
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return err
	}
	for _, control := range list.Controls {
		example, err := json.Marshal(control.Example)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s\n    %s\n    %s  %s\n", control.Event, control.Does, control.Event, example); err != nil {
			return err
		}
	}
	return nil
}
