using InferenceServer.Engine.Tokenization.Unicode;

namespace InferenceServer.Engine.Tokenization.Normalizers;

/// <summary>Removes characters of a class from a text; those that stay keep their alignment.</summary>
internal static class Filter
{
    /// <summary>Removes every character that <paramref name="goes"/> says yes to.</summary>
    public static void Remove(NormalizedString text, Func<int, bool> goes)
    {
        var chars = text.Text;
        var i = 0;
        var start = 0;
        while (i < chars.Length)
        {
            start = i;
            if (goes(CodePoints.Next(chars, ref i)))
            {
                break;
            }

            start = i;
        }

        if (start == chars.Length)
        {
            return;
        }

        var rewriter = text.Rewrite();
        rewriter.Copy(0, start);
        var copied = i;
        while (i < chars.Length)
        {
            start = i;
            if (goes(CodePoints.Next(chars, ref i)))
            {
                rewriter.Copy(copied, start - copied);
                copied = i;
            }
        }

        rewriter.Copy(copied, chars.Length - copied);
        rewriter.Commit();
    }
}
