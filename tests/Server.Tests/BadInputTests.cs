using System.Net.Http.Headers;
using System.Text;
using System.Text.RegularExpressions;

namespace InferenceServer.Server.Tests;

/// <summary>A request that must be refused.</summary>
/// <param name="Name">What is wrong with it.</param>
/// <param name="Path">Where it goes.</param>
/// <param name="Body">What it sends; null = GET.</param>
/// <param name="Status">The exact status of the answer.</param>
/// <param name="Field">The exact <c>field</c> of the answer; null = none.</param>
/// <param name="Says">What <c>detail</c> must name: the limit or the known values, and the remedy.</param>
public sealed record BadRequest(string Name, string Path, string? Body, int Status, string? Field, params string[] Says)
{
    /// <summary>Method; POST when there is a body.</summary>
    public string? Method { get; init; }

    /// <summary>Media type of the body.</summary>
    public string ContentType { get; init; } = "application/json";

    /// <inheritdoc/>
    public override string ToString() => Name;
}

/// <summary>
/// Requests that cannot be served: each with its exact status, its field, and a message that names the limit and the remedy. After all of
/// them the server still answers and its log holds no exception.
/// </summary>
[Collection(ServerCollection.Name)]
public sealed partial class BadInputTests(DemoServer demo, ZooServer zoo)
{
    private const string Embed = "/api/models/demo-bert/embeddings";
    private const string Predict = "/api/models/demo-bert/predictions";
    private const string Language = "/api/models/demo-language/predictions";
    private const string Gpt = "/api/models/demo-gpt/predictions";
    private const string Attend = "/api/models/demo-bert/attention";
    private const string Ablate = "/api/models/demo-bert/attention/ablation";
    private const string Tokenize = "/api/models/demo-bert/tokenize";
    private const string Generate = "/api/models/demo-gpt/generations";
    private const string Translate = "/api/models/demo-translator/generations";
    private const string Detokenize = "/api/models/demo-bert/detokenize";
    private const string Rerank = "/api/models/demo-bert/rerank";
    private const string Similarity = "/api/models/demo-bert/similarity";

    private static readonly string LongText = string.Join(' ', Enumerable.Repeat("banco", 300));

    /// <summary>Refused by a server with the demo models.</summary>
    public static BadRequest[] Demo { get; } =
    [
        // Not JSON, or not this JSON
        new("empty body", Embed, "", 400, null, "empty", "JSON object"),
        new("not JSON", Embed, "inputs=hello", 400, null, "not valid JSON", "line 1", "byte 1"),
        new("cut off", Embed, """{"inputs": "hello""", 400, null, "not valid JSON"),
        new("trailing comma", Embed, """{"inputs": "hello",}""", 400, null, "not valid JSON"),
        new("a second value", Embed, """{"inputs": "hello"} {}""", 400, null, "not valid JSON"),
        new("comment", Embed, """{"inputs": "hello" /* text */}""", 400, null, "not valid JSON"),
        new("NaN", Predict, """{"inputs": "a [MASK]", "parameters": {"top_k": NaN}}""", 400, null, "not valid JSON"),
        new("null body", Embed, "null", 400, null, "null", "inputs"),
        new("list body", Embed, """["hello"]""", 400, null, "must be an object", "inputs", "a list"),
        new("text body", Embed, "\"hello\"", 400, null, "must be an object", "inputs", "the text"),
        new("nested too deep", Embed, $$"""{"inputs": {{new string('[', 500)}}{{new string(']', 500)}}}""", 400, null, "deeper than"),
        new("lone high surrogate escape", Tokenize, """{"inputs": "a\ud800b"}""", 400, "inputs", "surrogate"),
        new("lone low surrogate escape", Embed, """{"inputs": ["fine", "a\udc00"]}""", 400, "inputs[1]", "surrogate"),
        new("field given twice", Embed, """{"inputs": "a", "inputs": "b"}""", 400, "inputs", "more than once", "once"),

        // Fields
        new("no inputs", Embed, "{}", 400, "inputs", "missing", "text"),
        new("null inputs", Embed, """{"inputs": null}""", 400, "inputs", "must be", "null"),
        new("misspelt field", Embed, """{"inputs": "a", "poolling": "mean"}""", 400, "poolling", "not a field", "Did you mean 'pooling'?"),
        new("field of another dialect", Embed, """{"input": "a"}""", 400, "input", "not a field", "Did you mean 'inputs'?"),
        new("unknown field", Tokenize, """{"inputs": "a", "colour": 1}""", 400, "colour", "not a field", "inputs, pairs"),
        new("field in another case", Embed, """{"Inputs": "a"}""", 400, "Inputs", "not a field", "Did you mean 'inputs'?"),
        new("misspelt parameter", Predict, """{"inputs": "a [MASK]", "parameters": {"topk": 3}}""", 400, "parameters.topk", "not a field", "Did you mean 'top_k'?"),
        new("misspelt field of attention", Attend, """{"text": "a", "layer": [0]}""", 400, "layer", "not a field", "Did you mean 'layers'?"),
        new("no prompt", Generate, """{"max_new_tokens": 3}""", 422, "prompt", "input_ids", "messages"),
        new("two prompts", Generate, """{"prompt": "a", "input_ids": [5]}""", 422, "input_ids", "prompt", "one of them"),
        new("empty prompt", Generate, """{"prompt": ""}""", 422, "prompt", "empty"),
        new("misspelt field of generations", Generate, """{"prompt": "a", "max_tokens": 3}""", 400, "max_tokens", "max_new_tokens"),
        new("prompt longer than the model", Generate, $$"""{"prompt": "{{LongText}}"}""", 422, "prompt", "token", "256"),
        new("prompt as long as the model", Generate, $$"""{"input_ids": [{{string.Join(',', Enumerable.Repeat(5, 256))}}]}""", 422, "input_ids", "256", "no room"),
        new("id outside of the vocabulary", Generate, """{"input_ids": [5, 99999999]}""", 422, "input_ids[1]", "99999999"),
        new("max_new_tokens 0", Generate, """{"prompt": "a", "max_new_tokens": 0}""", 422, "max_new_tokens", "1"),
        new("max_new_tokens as text", Generate, """{"prompt": "a", "max_new_tokens": "5"}""", 400, "max_new_tokens", "number"),
        new("min above max", Generate, """{"prompt": "a", "max_new_tokens": 2, "min_new_tokens": 3}""", 422, "min_new_tokens", "2"),
        new("temperature below 0", Generate, """{"prompt": "a", "temperature": -1}""", 422, "temperature", "0"),
        new("top_k below 0", Generate, """{"prompt": "a", "top_k": -1}""", 422, "top_k", "0"),
        new("top_p above 1", Generate, """{"prompt": "a", "top_p": 1.5}""", 422, "top_p", "1"),
        new("min_p below 0", Generate, """{"prompt": "a", "min_p": -0.1}""", 422, "min_p", "0"),
        new("repetition_penalty 0", Generate, """{"prompt": "a", "repetition_penalty": 0}""", 422, "repetition_penalty", "0.001"),
        new("bias of no id", Generate, """{"prompt": "a", "logit_bias": {"abc": 5}}""", 422, "logit_bias", "abc"),
        new("bias of an unknown id", Generate, """{"prompt": "a", "logit_bias": {"99999999": 5}}""", 422, "logit_bias", "99999999"),
        new("bias of a negative id", Generate, """{"prompt": "a", "logit_bias": {"-1": 5}}""", 422, "logit_bias", "-1"),
        new("bias beyond 100", Generate, """{"prompt": "a", "logit_bias": {"5": 101}}""", 422, "logit_bias", "100"),
        new("empty stop", Generate, """{"prompt": "a", "stop": ["b", ""]}""", 422, "stop[1]", "1 to"),
        new("stop as a number", Generate, """{"prompt": "a", "stop": 5}""", 400, "stop", "text"),
        new("65 stops", Generate, $$"""{"prompt": "a", "stop": [{{string.Join(',', Enumerable.Repeat("\"x\"", 65))}}]}""", 422, "stop", "64"),
        new("an empty bad word", Generate, """{"prompt": "a", "bad_words_ids": [[5], []]}""", 422, "bad_words_ids[1]", "empty"),
        new("no choices", Generate, """{"prompt": "a", "n": 0}""", 422, "n", "1"),
        new("too many choices", Generate, """{"prompt": "a", "n": 1000}""", 422, "n", "64"),
        new("too many logprobs", Generate, """{"prompt": "a", "logprobs": 21}""", 422, "logprobs", "20"),
        new("no beams", Generate, """{"prompt": "a", "num_beams": 0}""", 422, "num_beams", "1"),
        new("drawn beams", Translate, """{"prompt": "a", "num_beams": 2, "temperature": 1}""", 422, "temperature", "num_beams"),
        new("beams as a stream", Translate, """{"prompt": "a", "num_beams": 2, "stream": true}""", 422, "stream", "num_beams"),
        new("more choices than beams", Translate, """{"prompt": "a", "num_beams": 2, "n": 3}""", 422, "n", "2"),
        new("length_penalty without beams", Generate, """{"prompt": "a", "length_penalty": 2}""", 422, "length_penalty", "num_beams"),
        new("early_stopping perhaps", Translate, """{"prompt": "a", "num_beams": 2, "early_stopping": "perhaps"}""", 400, "early_stopping", "never"),
        new("messages without a template", Generate, """{"messages": [{"role": "user", "content": "a"}]}""", 422, "messages", "chat template"),
        new("arguments of a template for a prompt", Generate, """{"prompt": "a", "chat_template_kwargs": {"b": 1}}""", 422, "chat_template_kwargs", "messages"),
        new("generation by an encoder", "/api/models/demo-bert/generations", """{"prompt": "a"}""", 422, null, "generation", "fill-mask"),
        new("a bad request as a stream", Generate, """{"prompt": "a", "top_p": 2, "stream": true}""", 422, "top_p", "1"),
        new("misspelt field of detokenize", Detokenize, """{"ids": [[1]], "skip_special": true}""", 400, "skip_special", "not a field", "skip_special_tokens"),

        // Types
        new("inputs a number", Embed, """{"inputs": 7}""", 400, "inputs", "must be", "the number 7"),
        new("inputs an object", Embed, """{"inputs": {"text": "a"}}""", 400, "inputs", "text", "object"),
        new("inputs mixed", Embed, """{"inputs": ["a", 7]}""", 400, "inputs[1]", "text"),
        new("null input", Embed, """{"inputs": ["a", null]}""", 400, "inputs[1]", "null"),
        new("fractional id", Embed, """{"inputs": [[2, 1.5, 3]]}""", 400, "inputs[0][1]", "whole number"),
        new("normalize a text", Embed, """{"inputs": "a", "normalize": "yes"}""", 400, "normalize", "true or false", "yes"),
        new("dimensions a text", Embed, """{"inputs": "a", "dimensions": "64"}""", 400, "dimensions", "whole number", "64"),
        new("dimensions a fraction", Embed, """{"inputs": "a", "dimensions": 1.5}""", 400, "dimensions", "whole number", "1.5"),
        new("dimensions huge", Embed, """{"inputs": "a", "dimensions": 99999999999999999999999}""", 400, "dimensions", "whole number"),
        new("top_k huge exponent", Predict, """{"inputs": "a [MASK]", "parameters": {"top_k": 1e999}}""", 400, "parameters.top_k", "whole number"),
        new("top_k null", Predict, """{"inputs": "a [MASK]", "parameters": {"top_k": null}}""", 400, "parameters.top_k", "whole number", "null"),
        new("target null", Predict, """{"inputs": "a [MASK]", "parameters": {"targets": ["a", null]}}""", 400, "parameters.targets[1]", "a text", "null"),
        new("sentence null", Similarity, """{"source": "a", "sentences": ["b", null]}""", 400, "sentences[1]", "a text", "null"),
        new("source null", Similarity, """{"source": null, "sentences": ["b"]}""", 400, "source", "a text", "null"),
        new("parameters a list", Predict, """{"inputs": "a [MASK]", "parameters": [1]}""", 400, "parameters", "object", "a list"),
        new("layers a text", Attend, """{"text": "a", "layers": "all"}""", 400, "layers", "whole numbers", "all"),
        new("ids one flat list", Detokenize, """{"ids": [1, 2]}""", 400, "ids[0]", "list"),
        new("threshold a text", Attend, """{"text": "a", "threshold": "low"}""", 400, "threshold", "number", "low"),

        // Choices
        new("unknown pooling", Embed, """{"inputs": "a", "pooling": "average"}""", 400, "pooling", "mean", "cls", "average"),
        new("unknown dtype", Embed, """{"inputs": "a", "dtype": "float8"}""", 400, "dtype", "float32", "ubinary", "float8"),
        new("unknown encoding", Embed, """{"inputs": "a", "encoding": "base65"}""", 400, "encoding", "base64", "json"),
        new("unknown level", Embed, """{"inputs": "a", "level": "word"}""", 400, "level", "sequence", "token"),
        new("unknown truncation side", Embed, """{"inputs": "a", "truncation_direction": "middle"}""", 400, "truncation_direction", "left", "right"),
        new("unknown kind of attention", Attend, """{"text": "a", "kind": "self"}""", 400, "kind", "encoder", "decoder", "cross"),
        new("unknown format of attention", Attend, """{"text": "a", "format": "csv"}""", 400, "format", "json", "npy"),
        new("unknown aggregate", Attend, """{"text": "a", "aggregate": {"over": "heads", "method": "median"}}""", 400, "aggregate.method", "mean", "rollout"),
        new("unknown function", Language, """{"inputs": "a", "parameters": {"function": "relu"}}""", 400, "parameters.function", "softmax", "sigmoid"),
        new("unknown prompt", Embed, """{"inputs": "a", "prompt_name": "query"}""", 422, "prompt_name", "query", "prompt"),

        // Texts
        new("no inputs in the list", Embed, """{"inputs": []}""", 422, "inputs", "empty"),
        new("empty text", Embed, """{"inputs": ""}""", 422, "inputs", "empty"),
        new("empty text in a list", Embed, """{"inputs": ["a", ""]}""", 422, "inputs[1]", "empty"),
        new("empty ids", Embed, """{"inputs": [[]]}""", 422, "inputs[0]", "empty"),
        new("id too large", Embed, """{"inputs": [[2, 8192, 3]]}""", 422, "inputs[0][1]", "8192", "8191"),
        new("id negative", Embed, """{"inputs": [[2, -1, 3]]}""", 422, "inputs[0][1]", "-1", "8191"),
        new("too long", Embed, $$"""{"inputs": "{{LongText}}"}""", 422, "inputs", "302", "256", "truncate"),
        new("too long in a list", Embed, $$"""{"inputs": ["a", "{{LongText}}"]}""", 422, "inputs[1]", "302", "256", "truncate"),
        new("too many inputs", Embed, $$"""{"inputs": [{{string.Join(',', Enumerable.Repeat("\"a\"", 2049))}}]}""", 422, "inputs", "2049", "2048"),
        new("pairs of another number", Embed, """{"inputs": ["a", "b"], "pairs": ["c"]}""", 422, "pairs", "1", "2"),
        new("pair of another form", Embed, """{"inputs": "a", "pairs": ["b"]}""", 422, "pairs", "inputs"),
        new("empty text to classify", Language, """{"inputs": ""}""", 422, "inputs", "empty"),
        new("empty text for attention", Attend, """{"text": ""}""", 422, "text", "empty"),
        new("max_length too small", Tokenize, """{"inputs": "a b c", "truncate": true, "max_length": 1}""", 422, "max_length", "2"),
        new("stride without room", Tokenize, """{"inputs": "a b c d e f g h i j", "truncate": true, "max_length": 4, "stride": 2}""", 422, "stride", "max_length"),
        new("body too large", Embed, $$"""{"inputs": "{{new string('a', 1 << 20)}}"}""", 413, null, "1048576", "bytes"),

        // Embeddings
        new("dimensions 0", Embed, """{"inputs": "a", "dimensions": 0}""", 422, "dimensions", "1", "192"),
        new("dimensions above the model's", Embed, """{"inputs": "a", "dimensions": 193}""", 422, "dimensions", "193", "192"),
        new("truncate and split", Embed, """{"inputs": "a", "truncate": true, "split": true}""", 422, "split", "truncate"),

        // Tasks
        new("unknown task", Predict, """{"inputs": "a", "task": "summarise"}""", 422, "task", "summarise", "fill-mask"),
        new("task the model lacks", Predict, """{"inputs": "a", "task": "question-answering"}""", 422, "task", "question-answering", "fill-mask"),
        new("task is refused before inputs", Language, """{"inputs": [{"question": "a", "context": "b"}], "task": "question-answering"}""", 422, "task", "question-answering", "text-classification"),
        new("no embeddings here", "/api/models/demo-language/embeddings", """{"inputs": "a"}""", 422, null, "embeddings", "text-classification"),
        new("parameter of another task", Language, """{"inputs": "a", "parameters": {"targets": ["a"]}}""", 422, "parameters.targets", "text-classification", "top_k"),
        new("no mask in the text", Predict, """{"inputs": "O banco da praça."}""", 422, "inputs", "[MASK]"),
        new("no mask in the second text", Predict, """{"inputs": ["a [MASK]", "b"]}""", 422, "inputs[1]", "[MASK]"),
        new("top_k 0", Predict, """{"inputs": "a [MASK]", "parameters": {"top_k": 0}}""", 422, "parameters.top_k", "1"),
        new("top_k negative", Language, """{"inputs": "a", "parameters": {"top_k": -3}}""", 422, "parameters.top_k", "1", "-3"),
        new("unknown target", Predict, """{"inputs": "a [MASK]", "parameters": {"targets": ["xyzzyplugh"]}}""", 422, "parameters.targets[0]", "xyzzyplugh", "vocabulary"),
        new("no targets in the list", Predict, """{"inputs": "a [MASK]", "parameters": {"targets": []}}""", 422, "parameters.targets", "empty"),
        new("too long to classify", Language, $$"""{"inputs": "{{LongText}}"}""", 422, "inputs", "128"),
        new("too long for the next token", Gpt, $$"""{"inputs": "{{LongText}}"}""", 422, "inputs", "256"),

        // Attention
        new("neither text nor ids", Attend, "{}", 422, "text", "input_ids"),
        new("text and ids", Attend, """{"text": "a", "input_ids": [2, 3]}""", 422, "text", "input_ids"),
        new("unknown layer", Attend, """{"text": "a", "layers": [4]}""", 422, "layers[0]", "4", "3"),
        new("negative layer", Attend, """{"text": "a", "layers": [0, -1]}""", 422, "layers[1]", "-1", "3"),
        new("unknown head", Attend, """{"text": "a", "heads": [6]}""", 422, "heads[0]", "6", "5"),
        new("kind the model lacks", Attend, """{"text": "a", "kind": "decoder"}""", 422, "kind", "encoder"),
        new("range outside", Attend, """{"text": "a", "query_range": [0, 99]}""", 422, "query_range", "99", "3"),
        new("range backwards", Attend, """{"text": "a", "key_range": [2, 1]}""", 422, "key_range"),
        new("range of three", Attend, """{"text": "a", "key_range": [0, 1, 2]}""", 422, "key_range", "two"),
        new("top_k of attention 0", Attend, """{"text": "a", "top_k": 0}""", 422, "top_k", "1"),
        new("threshold above 1", Attend, """{"text": "a", "threshold": 1.5}""", 422, "threshold", "0", "1"),
        new("segments without a pair", Attend, """{"text": "a", "pair": "ab"}""", 422, "pair", "text_pair"),
        new("ids outside for attention", Attend, """{"input_ids": [2, 9000, 3]}""", 422, "input_ids[1]", "9000", "8191"),
        new("answer too large", Attend, $$"""{"text": "{{string.Join(' ', Enumerable.Repeat("banco", 250))}}"}""", 413, null, "4194304", "bytes", "layers"),
        new("thumbnail 0", Attend, """{"text": "a", "thumbnail": 0}""", 422, "thumbnail", "1"),
        new("unknown component", Attend, """{"text": "a", "components": ["q", "w"]}""", 400, "components[1]", "scores", "context"),
        new("components as npy", Attend, """{"text": "a", "components": ["q"], "format": "npy"}""", 422, "format", "components", "safetensors"),
        new("components of words", Attend, """{"text": "a", "components": ["q"], "merge": "word"}""", 422, "merge", "components"),
        new("continuation of an encoder", Attend, """{"text": "a", "max_new_tokens": 3}""", 422, "max_new_tokens", "decoders"),
        new("ablation of nothing", Ablate, """{"text": "a", "change": {}}""", 422, "change.remove", "change.mask", "change.heads", "change.each"),
        new("ablation of a token that is not there", Ablate, """{"text": "a [MASK]", "change": {"mask": [9]}}""", 422, "change.mask[0]", "9", "0 to 3"),
        new("ablation of a head that is not there", Ablate, """{"text": "a [MASK]", "change": {"heads": [{"layer": 9, "head": 0}]}}""", 422, "change.heads[0].layer", "0 to 3"),
        new("ablation without a mask to fill", Ablate, """{"text": "a b", "change": {"remove": [1]}}""", 422, "text", "[MASK]"),
        new("ablation of each and one", Ablate, """{"text": "a [MASK]", "change": {"each": "mask", "remove": [1]}}""", 422, "change.each", "change.remove"),
        new("ablation with a target of no translator", Ablate, """{"text": "a [MASK]", "target_text": "b", "change": {"mask": [1]}}""", 422, "target_text", "encoder-decoder"),
        new("ablation with a parameter of nobody", Ablate, """{"text": "a [MASK]", "change": {"mask": [1]}, "parameters": {"top": 1}}""", 400, "parameters.top", "top_k"),
        new("ablation without a change", Ablate, """{"text": "a [MASK]"}""", 400, "change", "missing"),
        new("too long for attention", Attend, $$"""{"text": "{{LongText}}"}""", 422, "text", "302", "256"),

        // Detokenize
        new("id to decode too large", Detokenize, """{"ids": [[56, 8192]]}""", 422, "ids[0][1]", "8192", "8191"),
        new("id to decode negative", Detokenize, """{"ids": [[-5]]}""", 422, "ids[0][0]", "-5"),
        new("nothing to decode", Detokenize, """{"ids": []}""", 422, "ids", "empty"),

        // Rerank and similarity
        new("nothing to rank", Rerank, """{"query": "a", "documents": []}""", 422, "documents", "empty"),
        new("empty query", Rerank, """{"query": "", "documents": ["a"]}""", 422, "query", "empty"),
        new("empty document", Rerank, """{"query": "a", "documents": ["b", ""]}""", 422, "documents[1]", "empty"),
        new("top_n 0", Rerank, """{"query": "a", "documents": ["b"], "top_n": 0}""", 422, "top_n", "1"),
        new("nothing to compare", Similarity, """{"source": "a", "sentences": []}""", 422, "sentences", "empty"),
        new("empty source", Similarity, """{"source": "", "sentences": ["a"]}""", 422, "source", "empty"),

        // Models and HTTP
        new("unknown model", "/api/models/demo-brt/embeddings", """{"inputs": "a"}""", 404, null, "demo-brt", "Did you mean 'demo-bert'?"),
        new("unknown model to describe", "/api/models/nothing", null, 404, null, "nothing", "/api/models"),
        new("path traversal", "/api/models/..%2f..%2fetc/embeddings", """{"inputs": "a"}""", 404, null),
        new("path traversal, encoded dots", "/api/models/%2e%2e%2f%2e%2e%2fetc%2fpasswd", null, 404, null),
        new("folder of scripts", "/api/models/training/embeddings", """{"inputs": "a"}""", 404, null, "training"),
        new("nothing there", "/api/nothing", null, 404, null),
        new("wrong method", Embed, null, 405, null),
        new("wrong method to describe", "/api/models", "{}", 405, null) { Method = "DELETE" },
        new("form", Embed, "inputs=a", 415, null, "application/json") { ContentType = "application/x-www-form-urlencoded" },
        new("plain text", Embed, """{"inputs": "a"}""", 415, null, "application/json") { ContentType = "text/plain" },
        new("other charset", Embed, """{"inputs": "a"}""", 415, null, "UTF-8") { ContentType = "application/json; charset=utf-16" },
    ];

    /// <summary>Refused by a server with the test models: heads that no demo model has.</summary>
    public static BadRequest[] Zoo { get; } =
    [
        new("zero-shot without labels", "/api/models/bert-nli-zero-shot/predictions", """{"inputs": "a", "task": "zero-shot"}""", 422, "parameters.candidate_labels", "labels"),
        new("zero-shot with an empty list", "/api/models/bert-nli-zero-shot/predictions", """{"inputs": "a", "task": "zero-shot", "parameters": {"candidate_labels": []}}""", 422, "parameters.candidate_labels", "empty"),
        new("zero-shot with an empty label", "/api/models/bert-nli-zero-shot/predictions", """{"inputs": "a", "task": "zero-shot", "parameters": {"candidate_labels": ["b", ""]}}""", 422, "parameters.candidate_labels[1]", "empty"),
        new("zero-shot with 10,000 labels", "/api/models/bert-nli-zero-shot/predictions",
            $$$"""{"inputs": "a", "task": "zero-shot", "parameters": {"candidate_labels": [{{{string.Join(',', Enumerable.Range(0, 10_000).Select(i => $"\"label {i}\""))}}}]}}""",
            422, "parameters.candidate_labels", "10000", "at most"),
        new("template null", "/api/models/bert-nli-zero-shot/predictions", """{"inputs": "a", "task": "zero-shot", "parameters": {"candidate_labels": ["b"], "hypothesis_template": null}}""", 400, "parameters.hypothesis_template", "a text", "null"),
        new("template without a place", "/api/models/bert-nli-zero-shot/predictions", """{"inputs": "a", "task": "zero-shot", "parameters": {"candidate_labels": ["b"], "hypothesis_template": "This is it."}}""", 422, "parameters.hypothesis_template", "{}"),
        new("zero-shot by a classifier", "/api/models/bert-classify/predictions", """{"inputs": "a", "task": "zero-shot", "parameters": {"candidate_labels": ["b"]}}""", 422, "task", "zero-shot", "text-classification"),
        new("question longer than the model", "/api/models/bert-qa/predictions", $$"""{"inputs": [{"question": "{{LongText}}", "context": "The server answers."}]}""", 422, "inputs[0].question", "token"),
        new("no question", "/api/models/bert-qa/predictions", """{"inputs": [{"context": "The server answers."}]}""", 400, "inputs[0].question", "missing"),
        new("empty question", "/api/models/bert-qa/predictions", """{"inputs": [{"question": "", "context": "The server answers."}]}""", 422, "inputs[0].question", "empty"),
        new("empty context", "/api/models/bert-qa/predictions", """{"inputs": [{"question": "Who?", "context": ""}]}""", 422, "inputs[0].context", "empty"),
        new("question as a text", "/api/models/bert-qa/predictions", """{"inputs": "Who?"}""", 422, "inputs", "question", "context"),
        new("doc_stride wider than the window", "/api/models/bert-qa/predictions", """{"inputs": [{"question": "Who?", "context": "The server answers."}], "parameters": {"max_length": 32, "doc_stride": 32}}""", 422, "parameters.doc_stride", "max_length"),
        new("max_answer_tokens 0", "/api/models/bert-qa/predictions", """{"inputs": [{"question": "Who?", "context": "The server answers."}], "parameters": {"max_answer_tokens": 0}}""", 422, "parameters.max_answer_tokens", "1"),
        new("unknown aggregation", "/api/models/bert-ner/predictions", """{"inputs": "a", "parameters": {"aggregation": "median"}}""", 400, "parameters.aggregation", "simple", "max"),
        new("empty text for entities", "/api/models/bert-ner/predictions", """{"inputs": ""}""", 422, "inputs", "empty"),
        new("rerank without documents", "/api/models/bert-rerank/rerank", """{"query": "a", "documents": []}""", 422, "documents", "empty"),
        new("rerank without a query", "/api/models/bert-rerank/rerank", """{"documents": ["a"]}""", 400, "query", "missing"),
        new("rerank by entities", "/api/models/bert-ner/rerank", """{"query": "a", "documents": ["b"]}""", 422, null, "rerank", "token-classification"),
        new("explain by cls pooling", "/api/models/bert-embed-cls-dense/similarity", """{"source": "a", "sentences": ["b"], "explain": true}""", 422, "explain", "mean"),
        new("unknown prompt of a model with prompts", "/api/models/bert-embed-sdpa/embeddings", """{"inputs": "a", "prompt_name": "qery"}""", 422, "prompt_name", "query"),
        new("dimensions above Dense", "/api/models/bert-embed-cls-dense/embeddings", """{"inputs": "a", "dimensions": 25}""", 422, "dimensions", "25", "24"),
    ];

    [Fact]
    public async Task Each_is_refused_with_its_status_and_a_message_that_helps()
    {
        Assert.True(Demo.Length >= 60);
        Assert.Equal(Demo.Length, Demo.Select(c => c.Name).Distinct().Count());
        await RefuseAsync(demo.Process, Demo);
        var answer = await demo.Client.PostAsync(Embed, """{"inputs": "The server still answers."}""");
        Assert.Equal(192, answer.Ok["items"]![0]!["embedding"]!.AsArray().Count);
    }

    [Fact]
    public async Task A_body_without_a_length_is_refused_when_it_has_passed_the_limit()
    {
        var body = Encoding.UTF8.GetBytes($$"""{"inputs": "{{new string('a', 1_060_000)}}"}""");
        using var request = new HttpRequestMessage(HttpMethod.Post, Embed) { Content = new ByteArrayContent(body) { Headers = { ContentType = MediaTypeHeaderValue.Parse("application/json") } } };
        request.Headers.TransferEncodingChunked = true;
        using var answer = await demo.Client.SendAsync(request, TestContext.Current.CancellationToken);
        var text = await answer.Content.ReadAsStringAsync(TestContext.Current.CancellationToken);
        Assert.True((int)answer.StatusCode == 413, text);
        Assert.Contains("1048576", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Each_is_refused_by_heads_that_the_demo_models_lack()
    {
        await RefuseAsync(zoo.Process, Zoo);
        var answer = await zoo.Client.PostAsync("/api/models/bert-classify/predictions", """{"inputs": "The server still answers."}""");
        Assert.NotEmpty(answer.Ok["items"]![0]!["labels"]!.AsArray());
    }

    [Fact]
    public async Task A_client_that_goes_away_leaves_no_trace_but_its_line()
    {
        for (var i = 0; i < 8; i++)
        {
            using var patience = new CancellationTokenSource();
            var body = $$"""{"inputs": [{{string.Join(',', Enumerable.Repeat("\"O banco da praça estava sujo.\"", 512))}}]}""";
            using var request = new HttpRequestMessage(HttpMethod.Post, Embed) { Content = new StringContent(body, Encoding.UTF8, "application/json") };
            var answer = demo.Client.SendAsync(request, patience.Token);
            await demo.Client.ReadAsync("/health/live");
            await patience.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => answer);
        }

        Assert.Equal(200, (await demo.Client.PostAsync(Embed, """{"inputs": "a"}""")).Status);
        demo.Process.AssertCleanLog();
    }

    private static async Task RefuseAsync(ServerProcess server, BadRequest[] cases)
    {
        var wrong = new List<string>();
        foreach (var bad in cases)
        {
            var request = new HttpRequestMessage(new HttpMethod(bad.Method ?? (bad.Body is null ? "GET" : "POST")), bad.Path);
            if (bad.Body is not null)
            {
                request.Content = new ByteArrayContent(Encoding.UTF8.GetBytes(bad.Body));
                request.Content.Headers.TryAddWithoutValidation("content-type", bad.ContentType);
            }

            Answer answer;
            try
            {
                answer = await server.Client.AskAsync(request);
            }
            catch (HttpRequestException e)
            {
                wrong.Add($"{bad.Name}: no answer: {e.Message} {e.InnerException?.Message}");
                continue;
            }

            if (Complaint(bad, answer) is { } complaint)
            {
                wrong.Add($"{bad.Name}: {complaint}\n      {(answer.Body.Length > 600 ? answer.Body[..600] : answer.Body)}");
            }
        }

        Assert.True(wrong.Count == 0, $"{cases.Length - wrong.Count} of {cases.Length} are refused as they should be:\n" + string.Join('\n', wrong));
        server.AssertCleanLog();
    }

    private static string? Complaint(BadRequest bad, Answer answer)
    {
        if (answer.Status != bad.Status)
        {
            return $"status {answer.Status}, expected {bad.Status}";
        }

        if (answer.ContentType != "application/problem+json")
        {
            return $"content type {answer.ContentType}";
        }

        var problem = answer.Json;
        if (problem["status"]?.GetValue<int>() != bad.Status || problem["type"] is null || problem["title"] is null)
        {
            return "not a problem document";
        }

        if (problem["field"]?.GetValue<string>() is var field && field != bad.Field)
        {
            return $"field {field ?? "null"}, expected {bad.Field ?? "null"}";
        }

        var detail = problem["detail"]?.GetValue<string>() ?? "";
        if (bad.Says.FirstOrDefault(s => !detail.Contains(s, StringComparison.OrdinalIgnoreCase)) is { } silent)
        {
            return $"detail does not say '{silent}'";
        }

        if (detail.Length is < 10 or > 1000 || Internal().IsMatch(answer.Body))
        {
            return "detail is too short, too long, or shows an internal";
        }

        return answer.Headers.TryGetValues("x-request-id", out _) ? null : "no x-request-id";
    }

    [GeneratedRegex(@"System\.|Exception|/home/|/root/|\.cs\b|StackTrace|InferenceServer\.Engine")]
    private static partial Regex Internal();
}
