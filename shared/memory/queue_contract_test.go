package memory_test

import (
	"testing"
	"time"

	"grantline/shared/dbtest"
	"grantline/shared/memory"
)

func TestMemoryKeepsTheContractOfQueues(t *testing.T) {
	dbtest.RunQueue(t, func(_ *testing.T, o dbtest.QueueOptions) dbtest.Queue {
		dead := memory.NewQueue[string](memory.QueueOptions{Visibility: dbtest.Patience}, nil)
		return &clocked{
			queue: memory.NewQueue(memory.QueueOptions{Visibility: o.Visibility, MostReceives: o.MostReceives}, dead),
			dead:  dead, now: noon,
		}
	})
}

// clocked is a queue with its dead letters and a time.
type clocked struct {
	queue, dead *memory.Queue[string]
	now         time.Time
}

func (c *clocked) Now() time.Time       { return c.now }
func (c *clocked) Pass(d time.Duration) { c.now = c.now.Add(d) }

func (c *clocked) Send(_ *testing.T, body string, delay time.Duration) {
	c.queue.Send(body, c.now.Add(delay))
}

func (c *clocked) Receive(_ *testing.T, most int) ([]dbtest.Message, error) {
	return messages(c.queue.Receive(c.now, most)), nil
}

func (c *clocked) DeadLetters(*testing.T) []dbtest.Message {
	return messages(c.dead.Receive(c.now, 10))
}

func (c *clocked) Delete(t *testing.T, m dbtest.Message) {
	r, ok := m.Receipt.(memory.Received[string])
	if !ok {
		t.Fatalf("receipt: got a %T, want what this queue gave", m.Receipt)
	}
	c.queue.Delete(r)
}

func (c *clocked) Redrive(*testing.T) { c.dead.Redrive(c.now) }

func messages(batch []memory.Received[string]) []dbtest.Message {
	var all []dbtest.Message
	for _, r := range batch {
		all = append(all, dbtest.Message{Body: r.Message, Times: r.Times, Receipt: r})
	}
	return all
}
