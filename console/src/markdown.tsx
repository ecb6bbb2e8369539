// Markdown as elements. The text is parsed and never becomes HTML: what a model writes as HTML is shown as text, an image is a link,
// and a link goes to a web page or nowhere.
//
// Rules: ORCH-CON-10
import { type Token, type Tokens, lexer } from "marked";
import { Component, type ComponentChildren, type JSX } from "preact";
import { useMemo } from "preact/hooks";
import { Copy } from "./parts";

/** Markdown that is parsed for each token of a long answer would hold the page up. */
const PARSED_CHARS = 200_000;

const NAMED: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };

/** Text with its character references resolved. */
function plain(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|(\w{2,6}));/g, (whole, decimal, hex, name) => {
    if (name !== undefined) return NAMED[name] ?? whole;
    const code = decimal === undefined ? parseInt(hex, 16) : Number(decimal);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

/** An address that a link may go to. */
function safe(href: string): string | null {
  try {
    const url = new URL(href);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

const Link = ({ href, children }: { href: string; children: ComponentChildren }) => {
  const to = safe(plain(href));
  return to === null ? <>{children}</> : <a href={to} target="_blank" rel="noopener noreferrer">{children}</a>;
};

export function CodeBlock({ text, language }: { text: string; language: string }) {
  return (
    <div class="code-block">
      <header>
        <span>{language}</span>
        <Copy text={text} label="Copy code" />
      </header>
      <pre tabIndex={0}>
        <code>{text}</code>
      </pre>
    </div>
  );
}

function Table({ token }: { token: Tokens.Table }) {
  const cell = (kind: "th" | "td", content: Tokens.TableCell, i: number) => {
    const Cell = kind;
    const align = token.align[i];
    return (
      <Cell key={i} class={align ? `align-${align}` : undefined}>
        <Inline tokens={content.tokens} />
      </Cell>
    );
  };
  return (
    <div class="scroll">
      <table>
        <thead>
          <tr>{token.header.map((content, i) => cell("th", content, i))}</tr>
        </thead>
        <tbody>
          {token.rows.map((row, r) => (
            <tr key={r}>{row.map((content, i) => cell("td", content, i))}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function List({ token }: { token: Tokens.List }) {
  const items = token.items.map((item, i) => (
    <li key={i} class={item.task ? "task-item" : undefined}>
      {item.task && <input type="checkbox" checked={item.checked === true} disabled aria-label={item.checked ? "done" : "to do"} />}
      <Blocks tokens={item.tokens.filter(({ type }) => type !== "checkbox")} />
    </li>
  ));
  return token.ordered ? <ol {...(typeof token.start === "number" ? { start: token.start } : {})}>{items}</ol> : <ul>{items}</ul>;
}

function Heading({ token }: { token: Tokens.Heading }) {
  // The page has headings of its own above those of an answer.
  const Level = `h${Math.min(6, token.depth + 3)}` as keyof JSX.IntrinsicElements;
  return (
    <Level class={`level-${token.depth}`}>
      <Inline tokens={token.tokens} />
    </Level>
  );
}

const Blocks = ({ tokens }: { tokens: Token[] }) => (
  <>
    {tokens.map((token, i) => (
      <Block key={i} token={token} />
    ))}
  </>
);

/** Blocks that have not changed are not drawn again while an answer grows. */
class Block extends Component<{ token: Token }> {
  override shouldComponentUpdate({ token }: { token: Token }): boolean {
    return token.type !== this.props.token.type || token.raw !== this.props.token.raw;
  }

  override render({ token }: { token: Token }) {
    return blockOf(token);
  }
}

function blockOf(token: Token): ComponentChildren {
  switch (token.type) {
    case "code":
      return <CodeBlock text={(token as Tokens.Code).text} language={(token as Tokens.Code).lang?.split(/\s/, 1)[0] ?? ""} />;
    case "heading":
      return <Heading token={token as Tokens.Heading} />;
    case "list":
      return <List token={token as Tokens.List} />;
    case "table":
      return <Table token={token as Tokens.Table} />;
    case "blockquote":
      return (
        <blockquote>
          <Blocks tokens={(token as Tokens.Blockquote).tokens} />
        </blockquote>
      );
    case "hr":
      return <hr />;
    case "paragraph":
      return (
        <p>
          <Inline tokens={(token as Tokens.Paragraph).tokens} />
        </p>
      );
    case "html":
      return <p class="verbatim">{token.raw.trimEnd()}</p>;
    case "space":
    case "def":
      return null;
    default:
      // A line of a list that is no paragraph.
      return <Inline tokens={[token]} />;
  }
}

const Inline = ({ tokens }: { tokens: Token[] | undefined }) => (
  <>
    {tokens?.map((token, i) => (
      <Span key={i} token={token} />
    ))}
  </>
);

function Span({ token }: { token: Token }) {
  const inside = <Inline tokens={(token as Tokens.Generic).tokens} />;
  switch (token.type) {
    case "strong":
      return <strong>{inside}</strong>;
    case "em":
      return <em>{inside}</em>;
    case "del":
      return <del>{inside}</del>;
    case "codespan":
      return <code>{(token as Tokens.Codespan).text}</code>;
    case "br":
      return <br />;
    case "link":
      return <Link href={(token as Tokens.Link).href}>{inside}</Link>;
    case "image":
      return <Link href={(token as Tokens.Image).href}>Image: {plain((token as Tokens.Image).text) || (token as Tokens.Image).href}</Link>;
    case "html":
      return /^<br\s*\/?>$/i.test(token.raw) ? <br /> : <>{token.raw}</>;
    case "escape":
      return <>{(token as Tokens.Escape).text}</>;
    case "text":
      return (token as Tokens.Text).tokens ? inside : <>{plain((token as Tokens.Text).text)}</>;
    default:
      return <>{token.raw}</>;
  }
}

export function Markdown({ text, writing = false }: { text: string; writing?: boolean }) {
  const tokens = useMemo(() => (text.length > PARSED_CHARS ? null : lexer(text)), [text]);
  if (tokens === null) return <p class="text">{text}</p>;
  return (
    <div class={writing ? "markdown writing" : "markdown"}>
      <Blocks tokens={tokens} />
    </div>
  );
}
