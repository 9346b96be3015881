package stack

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"grantline/infra/local/template"
	"grantline/shared/rebuild"
)

const (
	rebuildFunction = "rebuild"
	// mostRebuildCalls bounds how often the function is asked to go on.
	mostRebuildCalls = 1000
)

// Rebuild has the function rebuild compute what all customers hold into an empty table, which
// is dropped afterwards, and compare it with what is live.
func (s *Stack) Rebuild(ctx context.Context) (report rebuild.Report, err error) {
	at := slices.IndexFunc(s.template.Tables, func(t template.Table) bool { return strings.HasSuffix(t.Name, "-customers") })
	if at < 0 {
		return report, errors.New("stack: the template has no table of customers")
	}
	target := strings.ToLower(rand.Text()[:12])
	beside := s.template.Tables[at]
	beside.Name = strings.TrimSuffix(beside.Name, "customers") + "rebuild-" + target + "-customers"
	client := dynamodb.NewFromConfig(awsConfig(), func(o *dynamodb.Options) { o.BaseEndpoint = &s.dynamoDB })
	if err := createTable(ctx, client, beside); err != nil {
		return report, fmt.Errorf("stack: table %s: %w", beside.Name, err)
	}
	defer func() {
		// Whoever asked may have gone, and the table goes all the same.
		_, failed := client.DeleteTable(context.WithoutCancel(ctx), &dynamodb.DeleteTableInput{TableName: &beside.Name})
		err = errors.Join(err, failed)
	}()
	for call := range mostRebuildCalls {
		event, err := json.Marshal(map[string]string{"target": target, "cursor": report.Cursor})
		if err != nil {
			return report, err
		}
		answer, err := s.lambda.Invoke(ctx, rebuildFunction, event)
		if err != nil {
			return report, err
		}
		var part rebuild.Report
		if err := json.Unmarshal(answer, &part); err != nil {
			return report, fmt.Errorf("stack: the report: %w", err)
		}
		if call == 0 {
			report = part
		} else {
			report = report.And(part)
		}
		if report.Cursor == "" {
			return report, nil
		}
	}
	return report, errors.New("stack: the comparison came to no end")
}

func (s *Stack) serveRebuild(w http.ResponseWriter, r *http.Request) {
	report, err := s.Rebuild(r.Context())
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, http.StatusOK, report)
}
