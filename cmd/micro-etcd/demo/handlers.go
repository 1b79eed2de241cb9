package demo

import "context"

// The services' handlers do nothing but have types, which the registry tells of.
type (
	// Item is something that is sold.
	Item struct {
		SKU   string `json:"sku"`
		Title string `json:"title"`
		Price Money  `json:"price"`
	}
	// Money is an amount in the smallest unit of a currency.
	Money struct {
		Currency string `json:"currency"`
		Amount   int64  `json:"amount"`
	}
	// Query finds items.
	Query struct {
		Text  string `json:"text"`
		Limit int32  `json:"limit"`
	}
	// Items are what was found.
	Items struct {
		Items []Item `json:"items"`
	}
	// Key names one thing.
	Key struct {
		ID string `json:"id"`
	}
	// Order is what somebody wants to have.
	Order struct {
		ID    string `json:"id"`
		User  Key    `json:"user"`
		Total Money  `json:"total"`
	}
	// Receipt says that an order was paid.
	Receipt struct {
		Order  string `json:"order"`
		PaidAt int64  `json:"paid_at"`
	}
	// Profile is a user.
	Profile struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Email string `json:"email"`
	}
	// Message is a mail.
	Message struct {
		To      string `json:"to"`
		Subject string `json:"subject"`
		Text    string `json:"text"`
	}
	// Empty is nothing.
	Empty struct{}
)

// Gateway takes requests from outside.
type Gateway struct{}

// Health says that it lives.
func (*Gateway) Health(context.Context, *Empty, *Empty) error { return nil }

// Catalog knows the items.
type Catalog struct{}

// Find finds items.
func (*Catalog) Find(context.Context, *Query, *Items) error { return nil }

// Get returns one item.
func (*Catalog) Get(context.Context, *Key, *Item) error { return nil }

// Cart keeps what somebody is about to buy.
type Cart struct{}

// Add adds an item.
func (*Cart) Add(context.Context, *Item, *Order) error { return nil }

// Show returns what is in it.
func (*Cart) Show(context.Context, *Key, *Order) error { return nil }

// Payment takes money.
type Payment struct{}

// Pay pays an order.
func (*Payment) Pay(context.Context, *Order, *Receipt) error { return nil }

// Refund gives it back.
func (*Payment) Refund(context.Context, *Receipt, *Empty) error { return nil }

// Users knows who is who.
type Users struct{}

// Get returns a user.
func (*Users) Get(context.Context, *Key, *Profile) error { return nil }

// Mailer sends mails.
type Mailer struct{}

// Send sends one.
func (*Mailer) Send(context.Context, *Message, *Empty) error { return nil }
