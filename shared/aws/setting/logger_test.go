package setting_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"grantline/shared/aws/setting"
)

func TestALineOfTheLogIsJSONWithTheInvocation(t *testing.T) {
	var out bytes.Buffer
	log := setting.LoggerTo(&out, "INFO")
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "8f507cfc"})
	log.With("function", "verify").InfoContext(ctx, "A claim.", "store", "apple")

	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("the line %q is no JSON: %v", out.String(), err)
	}
	for key, want := range map[string]any{"level": "INFO", "message": "A claim.", "requestId": "8f507cfc", "store": "apple", "function": "verify"} {
		if line[key] != want {
			t.Errorf("%s is %v, want %v", key, line[key], want)
		}
	}
	if _, ok := line["timestamp"]; !ok {
		t.Errorf("the line %v has no timestamp", line)
	}
}

func TestTheLogKeepsWhatItsLevelAsksFor(t *testing.T) {
	for level, want := range map[string]int{"TRACE": 4, "DEBUG": 4, "INFO": 3, "": 3, "loud": 3, "WARN": 2, "ERROR": 1, "FATAL": 0} {
		var out bytes.Buffer
		log := setting.LoggerTo(&out, level)
		log.Debug("d")
		log.Info("i")
		log.Warn("w")
		log.Error("e")
		if got := strings.Count(out.String(), "\n"); got != want {
			t.Errorf("level %q: %d lines, want %d", level, got, want)
		}
	}
}

func TestAPanicIsLoggedWithItsPlaceAndWithoutItsValue(t *testing.T) {
	for name, c := range map[string]struct {
		panics func()
		want   string
	}{
		"own":     {func() { panic("card 4330-1234") }, "a value of type string"},
		"runtime": {func() { _ = strings.Fields("")[0] }, "runtime error: index out of range [0] with length 0"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			func() {
				defer func() {
					setting.LogPanic(t.Context(), setting.LoggerTo(&out, ""), "It panicked.", recover(), "messageId", "m-1")
				}()
				c.panics()
			}()
			var line struct {
				Level, Message, Panic string
				Stack                 []string
			}
			if err := json.Unmarshal(out.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			if line.Panic != c.want || line.Level != "ERROR" {
				t.Errorf("got %s %q, want ERROR %q", line.Level, line.Panic, c.want)
			}
			if !strings.Contains(strings.Join(line.Stack, "\n"), "logger_test.go:") {
				t.Errorf("the stack %q does not show where it panicked", line.Stack)
			}
			if strings.Contains(out.String(), "4330") {
				t.Errorf("the log %q shows the value", out.String())
			}
		})
	}
}
