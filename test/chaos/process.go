package chaos

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
)

// process drives a service process.
type process struct {
	name    string
	history *history
	cmd     *exec.Cmd
	input   io.WriteCloser
	log     tail
	over    chan struct{} // closed when it has ended and everything that it said is in the history
	err     error         // set before that

	mu      sync.Mutex
	next    int
	answers map[int]chan event
	alive   bool
	paused  time.Time
}

func startProcess(name string, s setup, h *history) (*process, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{name: name, history: h, over: make(chan struct{}), answers: map[int]chan event{}, alive: true}
	p.cmd = exec.CommandContext(context.Background(), program)
	p.cmd.Env = append(os.Environ(), setupVariable+"="+string(text))
	p.cmd.Stderr = &p.log
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	h.add(event{Kind: kindBegan, Process: name})
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.listen(output)
	return p, nil
}

func (p *process) listen(output io.Reader) {
	defer close(p.over)
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		e := event{}
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintf(&p.log, "unreadable output: %s\n", lines.Bytes())
			continue
		}
		e.Process = p.name
		p.history.add(e)
		if e.Kind == kindDone {
			p.mu.Lock()
			p.answers[e.ID] <- e
			delete(p.answers, e.ID)
			p.mu.Unlock()
		}
	}
	p.err = p.cmd.Wait()
}

// tell sends a command and returns where its answer will come.
func (p *process) tell(c command) (<-chan event, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	c.ID = p.next
	line, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	answer := make(chan event, 1)
	p.answers[c.ID] = answer
	if _, err := p.input.Write(append(line, '\n')); err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return answer, nil
}

// ask sends a command and waits until it has been carried out.
func (p *process) ask(ctx context.Context, c command) (event, error) {
	answer, err := p.tell(c)
	if err != nil {
		return event{}, err
	}
	select {
	case e := <-answer:
		return e, nil
	case <-p.over:
		return event{}, fmt.Errorf("%s ended during %s: %w\n%s", p.name, c.Do, p.err, p.log.String())
	case <-ctx.Done():
		return event{}, fmt.Errorf("%s: %s: %w", p.name, c.Do, ctx.Err())
	}
}

// kill ends it without warning.
func (p *process) kill() {
	p.mu.Lock()
	was := p.alive
	p.alive = false
	p.mu.Unlock()
	if !was {
		return
	}
	p.history.add(event{Kind: kindKilled, Process: p.name})
	_ = p.cmd.Process.Kill()
	<-p.over
}

// pause stops it as a suspended machine is stopped; its clocks, however, go on.
func (p *process) pause() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused = time.Now()
	return p.cmd.Process.Signal(syscall.SIGSTOP)
}

func (p *process) resume() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.cmd.Process.Signal(syscall.SIGCONT)
	if p.paused.IsZero() {
		return err
	}
	p.history.add(event{At: p.paused, Took: time.Since(p.paused), Kind: kindPause, Process: p.name})
	p.paused = time.Time{}
	return err
}

// close asks it to close its registry, and waits for its end. It returns what Close said.
func (p *process) close(ctx context.Context) (event, error) {
	p.mu.Lock()
	was := p.alive
	p.alive = false
	p.mu.Unlock()
	if !was {
		return event{}, nil
	}
	p.history.add(event{Kind: kindClosed, Process: p.name})
	answer, err := p.ask(ctx, command{Do: "close"})
	if err != nil {
		return event{}, err
	}
	select {
	case <-p.over:
	case <-ctx.Done():
		return event{}, fmt.Errorf("%s doesn't end: %w", p.name, ctx.Err())
	}
	if p.err != nil {
		return event{}, fmt.Errorf("%s: %w\n%s", p.name, p.err, p.log.String())
	}
	return answer, nil
}
