using System.Globalization;
using System.Numerics;

namespace InferenceServer.Engine.Generation.ChatTemplates;

/// <summary>Makes statements of tokens, by the grammar of Jinja 3.1 with loop controls and transformers' <c>generation</c> tag.</summary>
internal sealed class TemplateParser
{
    private const int Deepest = 100; // nesting of expressions and blocks

    private static readonly Dictionary<string, object?> Constants = new(StringComparer.Ordinal)
    {
        ["true"] = true,
        ["True"] = true,
        ["false"] = false,
        ["False"] = false,
        ["none"] = null,
        ["None"] = null,
    };

    private readonly List<Token> tokens;
    private int at;
    private int depth;

    private TemplateParser(List<Token> tokens) => this.tokens = tokens;

    private Token Current => tokens[at];

    /// <summary>The statements of a template.</summary>
    /// <exception cref="ChatTemplateException">It is no template; the message names the line.</exception>
    public static IReadOnlyList<Statement> Read(string source)
    {
        var parser = new TemplateParser(TemplateLexer.Read(source));
        var statements = parser.Body();
        return parser.Current.Kind == TokenKind.End ? statements : throw parser.Wrong($"'{parser.tokens[parser.at + 1].Text}' stands outside of its block");
    }

    // Statements up to the end, or to a tag of one of these names, which is left.
    private List<Statement> Body(params ReadOnlySpan<string> ends)
    {
        Enter();
        var statements = new List<Statement>();
        while (true)
        {
            var token = Current;
            switch (token.Kind)
            {
                case TokenKind.End when ends.IsEmpty:
                    depth--;
                    return statements;
                case TokenKind.End:
                    throw Wrong($"{ends[^1]} is missing");
                case TokenKind.Text:
                    at++;
                    statements.Add(new Output(token.Text, token.Line));
                    break;
                case TokenKind.PrintBegin:
                    at++;
                    statements.Add(new Print(Tuple(), token.Line));
                    Expect(TokenKind.PrintEnd, "}}");
                    break;
                default:
                    var name = tokens[at + 1].Text;
                    if (ends.Contains(name))
                    {
                        depth--;
                        return statements;
                    }

                    if (ends.IsEmpty && (name.StartsWith("end", StringComparison.Ordinal) || name is "else" or "elif"))
                    {
                        depth--;
                        return statements;
                    }

                    at++;
                    statements.Add(Block());
                    break;
            }
        }
    }

    private Statement Block()
    {
        var line = Current.Line;
        var name = Identifier();
        switch (name)
        {
            case "if":
                return IfBlock(line);
            case "for":
                return ForBlock(line);
            case "set":
                return SetBlock(line);
            case "macro":
                return MacroBlock(line);
            case "call":
                var parameters = Operator("(") ? Parameters() : [];
                var call = Expression() as Call ?? throw Wrong("'call' needs a call");
                BlockEnd();
                return new CallBlock(call, new Macro("caller", parameters, Closed("endcall"), line), line);
            case "filter":
                var filter = (Filter)Filters(null);
                BlockEnd();
                return new FilterBlock(filter, Closed("endfilter"), line);
            case "generation":
                BlockEnd();
                return new Scope([], Closed("endgeneration"), line);
            case "with":
                var names = new List<(string, Expression)>();
                while (Current.Kind == TokenKind.Name)
                {
                    var id = Identifier();
                    Require("=");
                    names.Add((id, Expression()));
                    Operator(",");
                }

                BlockEnd();
                return new Scope(names, Closed("endwith"), line);
            case "break" or "continue":
                BlockEnd();
                return new LoopControl(name == "break", line);
            default:
                throw Wrong($"the tag '{name}' is not known here");
        }
    }

    private If IfBlock(int line)
    {
        var branches = new List<(Expression, IReadOnlyList<Statement>)>();
        IReadOnlyList<Statement> otherwise = [];
        var condition = Tuple();
        BlockEnd();
        while (true)
        {
            branches.Add((condition, Body("elif", "else", "endif")));
            at++;
            var next = Identifier();
            if (next == "elif")
            {
                condition = Tuple();
                BlockEnd();
                continue;
            }

            if (next == "else")
            {
                BlockEnd();
                otherwise = Body("endif");
                at++;
                Identifier();
            }

            BlockEnd();
            return new If(branches, otherwise, line);
        }
    }

    private For ForBlock(int line)
    {
        var targets = Targets();
        if (Identifier() != "in")
        {
            throw Wrong("'in' is missing in 'for'");
        }

        var over = Tuple(conditional: false);
        var where = Keyword("if") ? Expression() : null;
        var recursive = Keyword("recursive");
        BlockEnd();
        var body = Body("else", "endfor");
        at++;
        IReadOnlyList<Statement> otherwise = [];
        if (Identifier() == "else")
        {
            BlockEnd();
            otherwise = Body("endfor");
            at++;
            Identifier();
        }

        BlockEnd();
        return new For(targets, over, where, recursive, body, otherwise, line);
    }

    private List<string> Targets()
    {
        var targets = new List<string>();
        var bracket = Operator("(");
        do
        {
            if (Current.Kind != TokenKind.Name || Current.Text == "in")
            {
                break;
            }

            targets.Add(Identifier());
        }
        while (Operator(","));

        if (bracket)
        {
            Require(")");
        }

        return targets.Count > 0 ? targets : throw Wrong("a name is missing");
    }

    private Set SetBlock(int line)
    {
        var targets = new List<(string, string?)>();
        do
        {
            var id = Identifier();
            targets.Add((id, Operator(".") ? Identifier() : null));
        }
        while (Operator(","));

        if (Operator("="))
        {
            var value = Tuple();
            BlockEnd();
            return new Set(targets, value, null, null, line);
        }

        var filter = Current is { Kind: TokenKind.Operator, Text: "|" } ? (Filter)FilterChain(null) : null;
        BlockEnd();
        return new Set(targets, null, Closed("endset"), filter, line);
    }

    private Macro MacroBlock(int line)
    {
        var id = Identifier();
        Require("(");
        var parameters = Parameters();
        BlockEnd();
        return new Macro(id, parameters, Closed("endmacro"), line);
    }

    // After the opening bracket.
    private List<(string, Expression?)> Parameters()
    {
        var parameters = new List<(string, Expression?)>();
        while (!Operator(")"))
        {
            var id = Identifier();
            parameters.Add((id, Operator("=") ? Expression() : null));
            if (!Operator(",") && Current is not { Kind: TokenKind.Operator, Text: ")" })
            {
                throw Wrong("')' is missing");
            }
        }

        return parameters;
    }

    private List<Statement> Closed(string end)
    {
        var body = Body(end);
        at++;
        Identifier();
        if (Current.Kind == TokenKind.Name)
        {
            at++; // {% endmacro name %}
        }

        BlockEnd();
        return body;
    }

    // a, b, c
    private Expression Tuple(bool conditional = true)
    {
        var line = Current.Line;
        var first = conditional ? Expression() : Or();
        if (Current is not { Kind: TokenKind.Operator, Text: "," })
        {
            return first;
        }

        var items = new List<Expression> { first };
        while (Operator(",") && Current.Kind is not (TokenKind.BlockEnd or TokenKind.PrintEnd) && Current is not { Kind: TokenKind.Operator, Text: ")" })
        {
            items.Add(conditional ? Expression() : Or());
        }

        return new ListOf(items, true, line);
    }

    private Expression Expression()
    {
        Enter();
        var line = Current.Line;
        var then = Or();
        while (Keyword("if"))
        {
            var condition = Or();
            then = new Conditional(then, condition, Keyword("else") ? Expression() : null, line);
        }

        depth--;
        return then;
    }

    private Expression Or()
    {
        var left = And();
        while (Current is { Kind: TokenKind.Name, Text: "or" } token)
        {
            at++;
            left = new Binary("or", left, And(), token.Line);
        }

        return left;
    }

    private Expression And()
    {
        var left = Not();
        while (Current is { Kind: TokenKind.Name, Text: "and" } token)
        {
            at++;
            left = new Binary("and", left, Not(), token.Line);
        }

        return left;
    }

    private Expression Not()
    {
        if (Current is { Kind: TokenKind.Name, Text: "not" } token)
        {
            Enter();
            at++;
            var of = new Unary("not", Not(), token.Line);
            depth--;
            return of;
        }

        return Compare();
    }

    private Expression Compare()
    {
        var line = Current.Line;
        var first = Sum();
        var others = new List<(string, Expression)>();
        while (true)
        {
            if (Current is { Kind: TokenKind.Operator, Text: "==" or "!=" or "<" or "<=" or ">" or ">=" } token)
            {
                at++;
                others.Add((token.Text, Sum()));
            }
            else if (Keyword("in"))
            {
                others.Add(("in", Sum()));
            }
            else if (Current is { Kind: TokenKind.Name, Text: "not" } && tokens[at + 1] is { Kind: TokenKind.Name, Text: "in" })
            {
                at += 2;
                others.Add(("not in", Sum()));
            }
            else
            {
                return others.Count == 0 ? first : new Comparison(first, others, line);
            }
        }
    }

    private Expression Sum() => Left(Concatenation, "+", "-");

    private Expression Concatenation() => Left(Product, "~");

    private Expression Product() => Left(Power, "*", "/", "//", "%");

    private Expression Power() => Left(() => Signed(true), "**");

    private Expression Left(Func<Expression> operand, params ReadOnlySpan<string> operators)
    {
        var left = operand();
        while (Current.Kind == TokenKind.Operator && operators.Contains(Current.Text))
        {
            var token = Current;
            at++;
            left = new Binary(token.Text, left, operand(), token.Line);
        }

        return left;
    }

    private Expression Signed(bool filters)
    {
        Enter();
        Expression of;
        if (Current is { Kind: TokenKind.Operator, Text: "-" or "+" } token)
        {
            at++;
            of = new Unary(token.Text, Signed(false), token.Line);
        }
        else
        {
            of = Primary();
        }

        of = Postfix(of);
        depth--;
        return filters ? Filters(of) : of;
    }

    private Expression Filters(Expression? of)
    {
        if (of is null)
        {
            return FilterChain(FilterOf(null)); // the name of a filter block
        }

        while (true)
        {
            if (Current is { Kind: TokenKind.Operator, Text: "|" })
            {
                at++;
                of = FilterOf(of);
            }
            else if (Current is { Kind: TokenKind.Name, Text: "is" } token)
            {
                at++;
                var not = Keyword("not");
                var id = Identifier();
                var arguments = Arguments.None;
                if (Current is { Kind: TokenKind.Operator, Text: "(" })
                {
                    at++;
                    arguments = ArgumentList();
                }
                else if (Current.Kind is TokenKind.String or TokenKind.Integer or TokenKind.Float
                    || Current is { Kind: TokenKind.Operator, Text: "[" or "{" }
                    || (Current.Kind == TokenKind.Name && Current.Text is not ("else" or "or" or "and" or "is" or "in" or "not" or "if" or "recursive")))
                {
                    arguments = new Arguments([Postfix(Primary())], []);
                }

                of = new Test(of, id, arguments, not, token.Line);
            }
            else if (Current is { Kind: TokenKind.Operator, Text: "(" })
            {
                of = Postfix(of);
            }
            else
            {
                return of;
            }
        }
    }

    private Expression FilterChain(Expression? of)
    {
        while (Operator("|"))
        {
            of = FilterOf(of);
        }

        return of!;
    }

    private Filter FilterOf(Expression? of)
    {
        var line = Current.Line;
        var id = Identifier();
        while (Operator("."))
        {
            id += "." + Identifier();
        }

        return new Filter(of, id, Operator("(") ? ArgumentList() : Arguments.None, line);
    }

    private Expression Primary()
    {
        var token = Current;
        at++;
        switch (token.Kind)
        {
            case TokenKind.Name:
                return Constants.TryGetValue(token.Text, out var constant) ? new Constant(constant, token.Line) : new Name(token.Text, token.Line);
            case TokenKind.String:
                var text = token.Text;
                while (Current.Kind == TokenKind.String)
                {
                    text += Current.Text;
                    at++;
                }

                return new Constant(text, token.Line);
            case TokenKind.Integer:
                return new Constant(BigInteger.Parse(token.Text, CultureInfo.InvariantCulture), token.Line);
            case TokenKind.Float:
                return new Constant(double.Parse(token.Text, CultureInfo.InvariantCulture), token.Line);
            case TokenKind.Operator when token.Text == "(":
                if (Operator(")"))
                {
                    return new ListOf([], true, token.Line);
                }

                var inside = Tuple();
                Require(")");
                return inside;
            case TokenKind.Operator when token.Text == "[":
                var items = new List<Expression>();
                while (!Operator("]"))
                {
                    items.Add(Expression());
                    Separate("]");
                }

                return new ListOf(items, false, token.Line);
            case TokenKind.Operator when token.Text == "{":
                var pairs = new List<(Expression, Expression)>();
                while (!Operator("}"))
                {
                    var key = Expression();
                    Require(":");
                    pairs.Add((key, Expression()));
                    Separate("}");
                }

                return new DictOf(pairs, token.Line);
            default:
                at--;
                throw Wrong(token.Kind == TokenKind.Operator ? $"'{token.Text}' begins no expression" : "an expression is missing");
        }
    }

    private Expression Postfix(Expression of)
    {
        while (Current.Kind == TokenKind.Operator)
        {
            var line = Current.Line;
            if (Operator("."))
            {
                of = Current.Kind == TokenKind.Integer ? new Item(of, new Constant(BigInteger.Parse(tokens[at++].Text, CultureInfo.InvariantCulture), line), line) : new Attribute(of, Identifier(), line);
            }
            else if (Operator("["))
            {
                of = new Item(of, Subscript(), line);
                Require("]");
            }
            else if (Operator("("))
            {
                of = new Call(of, ArgumentList(), line);
            }
            else
            {
                break;
            }
        }

        return of;
    }

    private Expression Subscript()
    {
        var line = Current.Line;
        Expression? from = null;
        if (Current is not { Kind: TokenKind.Operator, Text: ":" })
        {
            from = Tuple();
            if (Current is not { Kind: TokenKind.Operator, Text: ":" })
            {
                return from;
            }
        }

        Require(":");
        var to = Current is { Kind: TokenKind.Operator, Text: ":" or "]" } ? null : Expression();
        var step = Operator(":") && Current is not { Kind: TokenKind.Operator, Text: "]" } ? Expression() : null;
        return new Slice(from, to, step, line);
    }

    // After the opening bracket.
    private Arguments ArgumentList()
    {
        var positional = new List<Expression>();
        var named = new List<(string, Expression)>();
        while (!Operator(")"))
        {
            if (Current.Kind == TokenKind.Name && tokens[at + 1] is { Kind: TokenKind.Operator, Text: "=" })
            {
                var id = Identifier();
                at++;
                named.Add((id, Expression()));
            }
            else
            {
                positional.Add(Expression());
            }

            Separate(")");
        }

        return positional.Count + named.Count == 0 ? Arguments.None : new Arguments(positional, named);
    }

    private void Separate(string end)
    {
        if (!Operator(",") && (Current.Kind != TokenKind.Operator || Current.Text != end))
        {
            throw Wrong($"'{end}' is missing");
        }
    }

    private string Identifier() => Current.Kind == TokenKind.Name ? tokens[at++].Text : throw Wrong("a name is missing");

    private bool Keyword(string word)
    {
        if (Current.Kind != TokenKind.Name || Current.Text != word)
        {
            return false;
        }

        at++;
        return true;
    }

    private bool Operator(string text)
    {
        if (Current.Kind != TokenKind.Operator || Current.Text != text)
        {
            return false;
        }

        at++;
        return true;
    }

    private void Require(string text)
    {
        if (!Operator(text))
        {
            throw Wrong($"'{text}' is missing");
        }
    }

    private void BlockEnd() => Expect(TokenKind.BlockEnd, "%}");

    private void Expect(TokenKind kind, string text)
    {
        if (Current.Kind != kind)
        {
            throw Wrong(Current.Text.Length > 0 ? $"'{Current.Text}' stands where '{text}' belongs" : $"'{text}' is missing");
        }

        at++;
    }

    private void Enter()
    {
        if (++depth > Deepest)
        {
            throw Wrong($"expressions and blocks are nested more than {Deepest} deep");
        }
    }

    private ChatTemplateException Wrong(string what) => new($"line {Current.Line}: {what}");
}
