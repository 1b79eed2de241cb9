// Package process runs services that are processes of their own, and tells them what to do. Process drives one; Run is
// what goes on inside.
package process

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/micro-etcd/micro-etcd/test/chaos/history"
	"github.com/micro-etcd/micro-etcd/test/chaos/tail"
)

// Process drives a service process.
type Process struct {
	Name string
	Log  tail.Buffer

	history *history.History
	cmd     *exec.Cmd
	input   io.WriteCloser
	done    chan struct{} // closed when it has ended and everything that it said is in the history
	err     error         // set before that

	mu      sync.Mutex
	next    int
	answers map[int]chan history.Event
	alive   bool
	paused  time.Time
}

// Start starts a service process, which says to the history what it does and sees.
func Start(name string, s Setup, h *history.History) (*Process, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Process{Name: name, history: h, done: make(chan struct{}), answers: map[int]chan history.Event{}, alive: true}
	p.cmd = exec.CommandContext(context.Background(), program)
	p.cmd.Env = append(os.Environ(), SetupVariable+"="+string(text))
	p.cmd.Stderr = &p.Log
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	h.Add(history.Event{Kind: history.KindBegan, Process: name})
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.listen(output)
	return p, nil
}

func (p *Process) listen(output io.Reader) {
	defer close(p.done)
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		e := history.Event{}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintf(&p.Log, "unreadable output: %s\n", lines.Bytes())
			continue
		}
		e.Process = p.Name
		p.history.Add(e)
		if e.Kind == history.KindDone {
			p.mu.Lock()
			p.answers[e.ID] <- e
			delete(p.answers, e.ID)
			p.mu.Unlock()
		}
	}
	p.err = p.cmd.Wait()
}

// tell sends a command and returns where its answer will come.
func (p *Process) tell(c Command) (<-chan history.Event, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	c.ID = p.next
	line, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	answer := make(chan history.Event, 1)
	p.answers[c.ID] = answer
	if _, err := p.input.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return answer, nil
}

// Ask sends a command and waits until it has been carried out.
func (p *Process) Ask(ctx context.Context, c Command) (history.Event, error) {
	answer, err := p.tell(c)
	if err != nil {
		return history.Event{}, err
	}
	select {
	case e := <-answer:
		return e, nil
	case <-p.done:
		return history.Event{}, fmt.Errorf("%s ended during %s: %w\n%s", p.Name, c.Do, p.err, p.Log.String())
	case <-ctx.Done():
		return history.Event{}, fmt.Errorf("%s: %s: %w", p.Name, c.Do, ctx.Err())
	}
}

// Kill ends it without warning.
func (p *Process) Kill() {
	p.mu.Lock()
	was := p.alive
	p.alive = false
	p.mu.Unlock()
	if !was {
		return
	}
	p.history.Add(history.Event{Kind: history.KindKilled, Process: p.Name})
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Pause stops it as a suspended machine is stopped; its clocks, however, go on.
func (p *Process) Pause() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = time.Now()
	return p.cmd.Process.Signal(syscall.SIGSTOP)
}

// Resume lets it go on.
func (p *Process) Resume() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.cmd.Process.Signal(syscall.SIGCONT)
	if p.paused.IsZero() {
		return err
	}
	p.history.Add(history.Event{At: p.paused, Took: time.Since(p.paused), Kind: history.KindPause, Process: p.Name})
	p.paused = time.Time{}
	return err
}

// Close asks it to close its registry, and waits for its end. It returns what Close said.
func (p *Process) Close(ctx context.Context) (history.Event, error) {
	p.mu.Lock()
	was := p.alive
	p.alive = false
	p.mu.Unlock()
	if !was {
		return history.Event{}, nil
	}
	p.history.Add(history.Event{Kind: history.KindClosed, Process: p.Name})
	answer, err := p.Ask(ctx, Command{Do: "close"})
	if err != nil {
		return history.Event{}, err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return history.Event{}, fmt.Errorf("%s doesn't end: %w", p.Name, ctx.Err())
	}
	if p.err != nil {
		return history.Event{}, fmt.Errorf("%s: %w\n%s", p.Name, p.err, p.Log.String())
	}
	return answer, nil
}
