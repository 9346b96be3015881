// Rebuild asks the stack that runs on this machine to compute what its customers hold from
// their events, and prints how that compares with what is live. It fails on a difference.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"time"

	"grantline/shared/rebuild"
)

const (
	longest    = 30 * time.Minute
	mostAnswer = 1 << 20
)

func main() {
	equal, err := compare("http://127.0.0.1:"+cmp.Or(os.Getenv("GRANTLINE_PORT"), "3000"), os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || !equal {
		os.Exit(1)
	}
}

// compare prints the report of the stack at an address.
func compare(address string, out io.Writer) (equal bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/_local/rebuild", nil)
	if err != nil {
		return false, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, fmt.Errorf("no stack answers; start one by make run: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, mostAnswer))
	if err != nil {
		return false, err
	}
	var report rebuild.Report
	if answer.StatusCode != http.StatusOK {
		return false, fmt.Errorf("the stack answered %s: %s", answer.Status, bytes.TrimSpace(text))
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return false, fmt.Errorf("the stack's report: %w", err)
	}
	verdict := "equal"
	if !report.Equal {
		verdict = "DIFFERENT"
	}
	fmt.Fprintf(out, "%s: %d customers, %d events and %d orders compared, %d customers older than their events\n",
		verdict, report.Customers, report.Events, report.Orders, report.Older)
	for _, kind := range slices.Sorted(maps.Keys(report.Counts)) {
		fmt.Fprintf(out, "%6d  %s\n", report.Counts[kind], kind)
	}
	for _, f := range report.Findings {
		line, err := json.Marshal(f)
		if err != nil {
			return false, err
		}
		fmt.Fprintf(out, "        %s\n", line)
	}
	return report.Equal, nil
}
